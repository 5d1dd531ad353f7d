//! Layers on their way, for people: a bar each on a terminal, nothing elsewhere.

use std::collections::BTreeMap;
use std::io::IsTerminal;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use talk::LayerStage;

use crate::Session;
use crate::table::short;

/// Bars that are shown at once; the others have theirs when there is room.
const MOST: usize = 24;

/// The layers of a pull or a push.
pub(crate) struct LayerBars {
    bars: Option<MultiProgress>,
    by_layer: BTreeMap<String, ProgressBar>,
}

impl LayerBars {
    pub(crate) fn new(session: &Session) -> Self {
        let silent = session.json() || session.quiet() || !std::io::stderr().is_terminal();
        Self { bars: (!silent).then(MultiProgress::new), by_layer: BTreeMap::new() }
    }

    /// A layer has come so far.
    pub(crate) fn layer(&mut self, layer: &str, stage: LayerStage, bytes: u64, size: u64) {
        let Some(bars) = &self.bars else { return };
        if !self.by_layer.contains_key(layer) {
            if self.by_layer.len() >= MOST {
                return;
            }
            let bar = bars.add(ProgressBar::new(size.max(1)).with_style(style()));
            bar.set_prefix(short(layer).to_owned());
            self.by_layer.insert(layer.to_owned(), bar);
        }
        let bar = &self.by_layer[layer];
        if size > 0 {
            bar.set_length(size);
        }
        let word = match stage {
            LayerStage::Waiting => "waiting",
            LayerStage::Known => "already there",
            LayerStage::Downloading => "downloading",
            LayerStage::Verifying => "verifying",
            LayerStage::Downloaded => "downloaded",
            LayerStage::Unpacking => "unpacking",
            LayerStage::Uploading => "uploading",
            LayerStage::Mounted => "taken over",
            LayerStage::Done => "done",
        };
        bar.set_message(word);
        match stage {
            LayerStage::Downloading | LayerStage::Unpacking | LayerStage::Uploading => {
                bar.set_position(bytes)
            }
            LayerStage::Known | LayerStage::Mounted | LayerStage::Done => {
                bar.set_position(bar.length().unwrap_or(1));
            }
            LayerStage::Waiting | LayerStage::Verifying | LayerStage::Downloaded => {}
        }
    }

    /// It is over, well or badly.
    pub(crate) fn finish(&mut self) {
        self.by_layer.values().for_each(ProgressBar::abandon);
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("  {prefix:12} [{bar:24}] {bytes:>10} of {total_bytes:10} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}
