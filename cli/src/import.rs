//! `pretext import`: a model by its name at Hugging Face's hub.

use anyhow::Result;

/// Fetch a model from Hugging Face's hub by its name, and print its directory, which every command takes.
///
/// GPT-2, BERT, RoBERTa and CLIP checkpoints in safetensors. Files stay in the cache that Python's huggingface_hub has
/// (~/.cache/huggingface/hub) and are fetched once, by either. HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_TOKEN and
/// HF_HUB_OFFLINE mean what they mean there.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  pretext generate \"$(pretext import gpt2)\" \"Once upon a time\"
  pretext import sentence-transformers/all-MiniLM-L6-v2
  pretext import org/name --revision refs/pr/1")]
pub struct Args {
    /// The model: gpt2, or org/name
    name: String,
    /// A branch, a tag, a commit, or a pull request as refs/pr/N
    #[arg(long, default_value = "main", value_name = "NAME")]
    revision: String,
}

#[cfg(not(feature = "hub"))]
pub fn run(_: &Args) -> Result<()> {
    anyhow::bail!("this program was built without the feature that fetches models: `cargo build -p cli --features hub`")
}

#[cfg(feature = "hub")]
pub fn run(args: &Args) -> Result<()> {
    use models::hub::import::Hub;
    use std::io::Write as _;

    let mut shown = fetching::Shown::default();
    let imported = Hub::from_env().import(&args.name, &args.revision, &mut |event| shown.show(event));
    shown.end();
    writeln!(std::io::stdout(), "{}", imported?.display())?;
    Ok(())
}

/// How files that come in are shown: a bar each on a terminal, lines elsewhere; all on standard error.
#[cfg(feature = "hub")]
mod fetching {
    use std::io::IsTerminal as _;
    use std::time::{Duration, Instant};

    use indicatif::{ProgressBar, ProgressStyle};
    use models::hub::import::Event;

    use crate::progress::bytes;

    #[derive(Default)]
    pub struct Shown {
        name: String,
        bar: Option<ProgressBar>,
        printed: Option<Instant>,
    }

    impl Shown {
        pub fn show(&mut self, event: Event) {
            match event {
                Event::Note(sentence) => tell!("note: {sentence}"),
                Event::Bytes { name, done, size } if std::io::stderr().is_terminal() => self.bar(name, done, size),
                Event::Bytes { name, done, size } => self.line(name, done, size),
            }
        }

        /// Leaves the last bar on the screen, on a line of its own.
        pub fn end(&mut self) {
            if let Some(bar) = self.bar.take() {
                bar.abandon();
                tell!();
            }
        }

        fn bar(&mut self, name: &str, done: u64, size: u64) {
            if self.name != name {
                self.end();
                let style = "{msg:24} {wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}";
                let style = ProgressStyle::with_template(style).expect("a plain template");
                self.bar = Some(ProgressBar::new(size).with_style(style).with_message(name.to_owned()));
                name.clone_into(&mut self.name);
            }
            self.bar.iter().for_each(|bar| bar.set_position(done));
        }

        fn line(&mut self, name: &str, done: u64, size: u64) {
            let due = self.printed.is_some_and(|printed| printed.elapsed() > Duration::from_secs(10));
            if self.name != name || due {
                let so_far = if done > 0 { format!(", {} of it there", bytes(done as usize)) } else { String::new() };
                tell!("{name}: {}{so_far}", bytes(size as usize));
                name.clone_into(&mut self.name);
                self.printed = Some(Instant::now());
            }
        }
    }
}
