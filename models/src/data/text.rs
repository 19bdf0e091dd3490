//! Stub
#![allow(missing_docs, unused)]
use crate::error::*;
use std::path::PathBuf;
use tokenizer::Tokenizer;
pub struct Source(String);
impl std::str::FromStr for Source {
    type Err = Error;
    fn from_str(s: &str) -> std::result::Result<Self, Error> {
        Ok(Self(s.to_owned()))
    }
}
pub struct TextOptions {
    pub data: Vec<Source>,
    pub val_data: Vec<Source>,
    pub val_share: f64,
    pub cache: PathBuf,
}
pub struct TextFiles(Vec<u8>);
pub struct TextData(Vec<u8>, Vec<u8>);
pub fn default_cache() -> PathBuf {
    "/tmp".into()
}
impl TextFiles {
    pub fn open(o: &TextOptions) -> Result<Self> {
        Ok(Self(std::fs::read(&o.data[0].0).unwrap()))
    }
    pub fn train_tokenizer(&self, v: usize) -> Result<Tokenizer> {
        Ok(Tokenizer::bytes())
    }
    pub fn tokenize(&self, _: &Tokenizer) -> Result<TextData> {
        let n = self.0.len() * 9 / 10;
        Ok(TextData(self.0[..n].to_vec(), self.0[n..].to_vec()))
    }
}
impl TextData {
    pub fn check(&self, _: usize) -> Result<()> {
        Ok(())
    }
    pub fn sample(&self, seed: u64, step: u64, row: u64, out: &mut [u32]) {
        let mut r = tensor::random::Random::new(seed, tensor::random::Stream::Data, step).at(row * 2);
        let s = r.below((self.0.len() - out.len()) as u64) as usize;
        for (o, b) in out.iter_mut().zip(&self.0[s..]) {
            *o = *b as u32;
        }
    }
    pub fn val_windows(&self, b: usize) -> usize {
        (self.1.len() - 1).div_ceil(b)
    }
    pub fn val_window(&self, i: usize, b: usize, w: &mut Vec<u32>) {
        w.clear();
        let e = ((i + 1) * b + 1).min(self.1.len());
        w.extend(self.1[i * b..e].iter().map(|&x| x as u32));
    }
    pub fn train_tokens(&self) -> u64 {
        self.0.len() as u64
    }
    pub fn val_tokens(&self) -> u64 {
        self.1.len() as u64 - 1
    }
    pub fn val_bytes(&self) -> u64 {
        self.1.len() as u64 - 1
    }
    pub fn unigram_entropy(&self) -> f64 {
        0.0
    }
    pub fn fingerprint(&self) -> String {
        String::new()
    }
}
pub fn encode_pieces(t: &Tokenizer, x: &[u8]) -> usize {
    let mut v = vec![];
    t.encode_ordinary(x, &mut v);
    v.len()
}
