//! "Did you mean …?": the word that is nearest to a mistyped one.

/// The candidate that a slip or two of the fingers turn into `word`, if there is one.
pub(crate) fn nearest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    // A longer word allows for more slips; a short one would match anything.
    let limit = match word.chars().count() {
        0..=1 => return None,
        2..=4 => 1,
        5..=30 => 2,
        31.. => return None,
    };
    let lower = word.to_lowercase();
    let best = candidates.iter().map(|one| (distance(&lower, &one.to_lowercase()), *one)).min()?;
    (best.0 <= limit).then_some(best.1)
}

/// How many letters must be put in, left out, changed or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let changed = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = changed.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}
