//! Do we name and find pictures as others do? Zero-shot, retrieval and the probe, held against numpy and scikit-learn on
//! vectors that were recorded with their answers.

use std::path::Path;

use models::hub::weights::Weights;
use models::transfer::clip::recall::{ranks, recall};
use models::transfer::clip::zero_shot::{ZeroShot, judge};
use models::transfer::logistic::{Features, Logistic};
use tensor::Tensor;

struct Recorded(Weights);

impl Recorded {
    fn open() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/shared_space.safetensors");
        Self(Weights::open(&path).unwrap())
    }

    fn matrix(&self, name: &str) -> Tensor {
        let (shape, numbers) = self.0.numbers(name).unwrap();
        let cols = *shape.last().unwrap();
        Tensor::of([numbers.len() / cols, cols], &numbers)
    }

    fn numbers(&self, name: &str) -> Vec<f64> {
        self.0.numbers(name).unwrap().1.into_iter().map(f64::from).collect()
    }

    fn integers(&self, name: &str) -> Vec<usize> {
        self.0.integers(name).unwrap().1.into_iter().map(|x| x as usize).collect()
    }
}

#[track_caller]
fn near(ours: &[f64], theirs: &[f64], by: f64) {
    assert_eq!(ours.len(), theirs.len());
    let worst = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(worst < by, "off by {worst}");
}

#[test]
fn names_have_the_probabilities_and_shares_that_numpy_and_scikit_learn_give_them() {
    let of = Recorded::open();
    let truth = of.integers("zero.truth");
    let confusion = of.integers("zero.confusion");
    let count = confusion.len().isqrt();
    let names = (0..count).map(|i| i.to_string()).collect();
    let names = ZeroShot::of(names, &of.matrix("zero.sayings"), of.numbers("zero.scale")[0]);
    let images = of.matrix("zero.images");
    let p = names.probabilities(&names.cosines(&images));
    let ours: Vec<f64> = p.data().iter().map(|&p| f64::from(p)).collect();
    near(&ours, &of.numbers("zero.probabilities"), 1e-5);
    let named = judge(&names, &images, &truth);
    near(&[named.top_1, named.top_5], &of.numbers("zero.tops"), 1e-6);
    let times = |field: usize| named.confusion.get(&(field / count, field % count)).copied().unwrap_or(0);
    assert_eq!((0..count * count).map(times).collect::<Vec<_>>(), confusion);
}

#[test]
fn pictures_and_captions_have_the_ranks_that_sorting_in_numpy_gives_them() {
    let of = Recorded::open();
    let (images, texts) = (of.matrix("pairs.images"), of.matrix("pairs.texts"));
    let [n, m] = [images.shape().rows(), texts.shape().rows()];
    let table = of.integers("pairs.belongs");
    let to_text: Vec<Vec<usize>> = (0..n).map(|i| (0..m).filter(|j| table[i * m + j] == 1).collect()).collect();
    let to_image: Vec<Vec<usize>> = (0..m).map(|j| (0..n).filter(|i| table[i * m + j] == 1).collect()).collect();
    assert_eq!(ranks(&images, &texts, &to_text), of.integers("pairs.to_text"));
    assert_eq!(ranks(&texts, &images, &to_image), of.integers("pairs.to_image"));
    let figures = [recall(&images, &texts, &to_text), recall(&texts, &images, &to_image)];
    let figures = figures.map(|r| [r.recall_at_1, r.recall_at_5, r.recall_at_10, r.median_rank]);
    near(&figures.concat(), &of.numbers("pairs.figures"), 1e-6);
}

#[test]
fn a_probe_learns_the_weights_that_scikit_learn_learns() {
    let of = Recorded::open();
    let (features, labels) = (of.matrix("probe.features"), of.integers("probe.labels"));
    let columns = features.shape().cols();
    let part = |rows: std::ops::Range<usize>| {
        Tensor::of([rows.len(), columns], &features.data()[rows.start * columns..rows.end * columns])
    };
    let learned = Logistic::new(3, columns).trained(Features::Dense(&part(0..200)), &labels[..200], 3.0);
    let weights: Vec<f64> = (0..3)
        .flat_map(|class| (0..columns).map(move |c| (c, class)))
        .map(|(c, k)| learned.weight(Some(c), k))
        .collect();
    near(&weights, &of.numbers("probe.weights"), 0.02);
    assert_eq!(learned.predictions(&part(200..300)), of.integers("probe.predictions"));
}
