//! Sees to it that the images are there: pulls, assembles or builds what is missing.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;

use bollard::query_parameters::{BuildImageOptionsBuilder, CreateImageOptionsBuilder};
use futures_util::StreamExt as _;

use super::context::{self, Context};
use super::engine::{Engine, EngineError, PULL, Step, ask, dress, is_gone};
use crate::plan::{ImageFrom, ImagePlan};
use crate::progress::Progress;

/// Why an image is not there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(
        "build {reference}: {words}\nthe build's last lines:\n{tail}\n  next: mend it, then bottle run {bottle}"
    )]
    Build { reference: String, words: String, tail: String, bottle: String },
    #[error("gather {} for {reference}", .path.display())]
    Gather { reference: String, path: PathBuf, source: io::Error },
}

/// How many of a failed build's lines are shown: its exit code alone says nothing.
const TAIL: usize = 20;

impl Engine {
    /// Brings one image, if it is not there.
    ///
    /// # Errors
    /// [`Error`], with the last lines of a build that failed.
    pub(super) async fn ensure_image(
        &self,
        image: &ImagePlan,
        bottle: &str,
        progress: &Progress,
    ) -> Result<(), Error> {
        let step = Step::new("look for", &image.reference, bottle);
        let present = match self.docker.inspect_image(&image.reference).await {
            Ok(_) => true,
            Err(refusal) if is_gone(&refusal) => false,
            Err(refusal) => return Err(dress(&step, &refusal).into()),
        };
        match &image.from {
            ImageFrom::Registry if present => Ok(()),
            ImageFrom::Bundle(_) if present => Ok(()),
            ImageFrom::Registry => self.pull(&image.reference, bottle, progress).await,
            ImageFrom::Bundle(bundle) => {
                let context = context::of_bundle(bundle).map_err(|(path, source)| {
                    Error::Gather { reference: image.reference.clone(), path, source }
                })?;
                self.build(&image.reference, context, bottle, progress).await
            }
            ImageFrom::Dockerfile { dockerfile, context } => {
                let gather = |source| Error::Gather {
                    reference: image.reference.clone(),
                    path: context.clone(),
                    source,
                };
                let packed = context::of_folder(dockerfile, context).map_err(gather)?;
                let failure = packed.failure.clone();
                let built = self.build(&image.reference, packed, bottle, progress).await;
                // A folder that cannot be read to its end is why the engine had no whole context.
                match failure.take() {
                    Some(source) => Err(gather(source)),
                    None => built,
                }
            }
        }
    }

    /// The entrypoint and command an image has of its own.
    pub(super) async fn own_command(
        &self,
        reference: &str,
        bottle: &str,
    ) -> Result<Vec<String>, EngineError> {
        let step = Step::new("inspect", reference, bottle);
        let image = ask(&step, self.docker.inspect_image(reference)).await?;
        let config = image.config.unwrap_or_default();
        let mut words = config.entrypoint.unwrap_or_default();
        words.extend(config.cmd.unwrap_or_default());
        Ok(words)
    }

    async fn pull(&self, reference: &str, bottle: &str, progress: &Progress) -> Result<(), Error> {
        let step = Step::new(PULL, reference, bottle);
        progress.detail(&format!("pulling {reference}"));
        let options = CreateImageOptionsBuilder::default().from_image(reference).build();
        let mut stream = self.docker.create_image(Some(options), None, None);
        while let Some(line) = stream.next().await {
            let line = line.map_err(|refusal| dress(&step, &refusal))?;
            if let Some(status) = line.status {
                progress.detail(&format!("pulling {reference}: {status}"));
            }
        }
        Ok(())
    }

    async fn build(
        &self,
        reference: &str,
        context: Context,
        bottle: &str,
        progress: &Progress,
    ) -> Result<(), Error> {
        progress.detail(&format!("building {reference}"));
        let options = BuildImageOptionsBuilder::default()
            .dockerfile(&context.dockerfile)
            .t(reference)
            .rm(true)
            .forcerm(true)
            .build();
        let mut stream = self.docker.build_image(options, None, Some(context.body));
        let mut tail = VecDeque::with_capacity(TAIL);
        while let Some(line) = stream.next().await {
            let failed = |words: String, tail: &VecDeque<String>| Error::Build {
                reference: reference.to_owned(),
                words,
                tail: tail.iter().map(|line| format!("  | {line}")).collect::<Vec<_>>().join("\n"),
                bottle: bottle.to_owned(),
            };
            let line = match line {
                Ok(line) => line,
                Err(refusal) => {
                    let step = Step::new("build", reference, bottle);
                    return Err(failed(dress(&step, &refusal).words, &tail));
                }
            };
            for text in line.stream.iter().flat_map(|text| text.lines()) {
                // A builder colours what a step says to stderr.
                let text = console::strip_ansi_codes(text.trim_end());
                let text = text.trim_end();
                if text.is_empty() {
                    continue;
                }
                progress.detail(text);
                if tail.len() == TAIL {
                    tail.pop_front();
                }
                tail.push_back(text.to_owned());
            }
            if let Some(detail) = line.error_detail {
                return Err(failed(detail.message.unwrap_or_default(), &tail));
            }
        }
        Ok(())
    }
}
