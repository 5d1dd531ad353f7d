//! The line of figures that `tidy` ends with: the same that `measure.py` prints, for the code that ships.

use crate::tidy::source::Source;

/// Sizes of files and functions, and the share of comments.
pub(crate) fn line(sources: &[Source]) -> String {
    let shipped: Vec<&Source> = sources
        .iter()
        .filter(|source| source.shipped_code() > 0 && !source.path.starts_with("examples/"))
        .collect();
    let code: usize = shipped.iter().map(|source| source.shipped_code()).sum();
    let mut files: Vec<usize> = shipped.iter().map(|source| source.shipped_lines()).collect();
    let mut functions: Vec<usize> =
        shipped.iter().flat_map(|source| source.functions()).map(|function| function.code).collect();
    let comments = shipped.iter().map(|source| source.shipped_comments());
    let (comment, doc) = comments.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    files.sort_unstable();
    functions.sort_unstable();
    format!(
        "{code} lines of code in {} files (p50 {}, p90 {}, max {}); functions p50 {}, p90 {}, max {}; \
         comments {} %, of it documentation {} %\n",
        files.len(),
        at_rank(&files, 50),
        at_rank(&files, 90),
        at_rank(&files, 100),
        at_rank(&functions, 50),
        at_rank(&functions, 90),
        at_rank(&functions, 100),
        percent(comment, comment + code),
        percent(doc, comment),
    )
}

fn at_rank(ordered: &[usize], percent: usize) -> usize {
    ordered.get((ordered.len() * percent / 100).min(ordered.len().saturating_sub(1))).copied().unwrap_or(0)
}

fn percent(part: usize, whole: usize) -> usize {
    100 * part / whole.max(1)
}
