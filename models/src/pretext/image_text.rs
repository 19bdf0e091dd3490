//! Contrastive prediction of pictures and texts: which caption belongs to which picture?
//!
//! A batch has B pictures with a caption each. Both become vectors of length 1, xᵢ and yⱼ, and every picture is compared with
//! every caption: `sᵢⱼ = exp(t)·xᵢ·yⱼ`, with a t that is learned (the temperature is exp(−t)). The caption of a picture is to be
//! found among all B, and the picture of a caption as well (Radford et al. 2021, figure 3):
//!
//! - `ℓ = −1/2B·Σᵢ ( ln(exp(sᵢᵢ)/Σⱼ exp(sᵢⱼ)) + ln(exp(sᵢᵢ)/Σⱼ exp(sⱼᵢ)) )`
//!
//! Nobody labelled anything: that these two belong together is all that is known. A model that knows nothing pays ln B
//! ([`Twins::chance`]).
//!
//! The sigmoid form asks of each of the B² pairs by itself whether they belong together, with a bias b that is learned too
//! (Zhai et al. 2023, "Sigmoid Loss for Language Image Pre-Training", section 3.2):
//!
//! - `ℓ = −1/B·Σᵢⱼ ln σ(zᵢⱼ·(sᵢⱼ + b))`, z = 1 on the diagonal and −1 elsewhere
//!
//! What a pair pays there does not depend on who else is in the batch, as it does above.
//!
//! Two rows of a batch may show the same picture or say the same. They belong together crosswise too, so they are no
//! negatives of each other: such pairs, twins, are left out of the sums.

use autograd::{IGNORE, Var};
use tensor::pool::Indices;
use tensor::{Float, Tensor};

use super::MicroBatch;

/// Which pairs of different rows belong together all the same: those that show the same picture, or say the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Twins {
    /// For each row the first one that shows its picture, and the first that says what it says.
    firsts: Vec<[u32; 2]>,
}

impl Twins {
    /// Of rows whose pictures and captions have these names, whatever they are.
    pub fn new<P: PartialEq, C: PartialEq>(pictures: &[P], captions: &[C]) -> Self {
        fn first<X: PartialEq>(of: &[X], i: usize) -> u32 {
            of.iter().position(|x| *x == of[i]).unwrap_or(i) as u32
        }
        Self { firsts: (0..pictures.len()).map(|i| [first(pictures, i), first(captions, i)]).collect() }
    }

    /// Of rows that have nothing in common, whatever they show and say.
    pub fn none(rows: usize) -> Self {
        Self { firsts: (0..rows as u32).map(|i| [i, i]).collect() }
    }

    fn rows(&self) -> usize {
        self.firsts.len()
    }

    /// ℓ of one who knows nothing and gives all pairs the same score, the best there is. With nᵢ captions that a picture's own
    /// is to be found among, itself and all that are no twins, and N = Σᵢ nᵢ:
    ///
    /// - `1/B·Σᵢ ln nᵢ`
    /// - one by one `−1/B·(B·ln p + (N − B)·ln(1 − p))`, p = B/N the share of pairs that belong together
    pub fn chance(&self, one_by_one: bool) -> f64 {
        let rows = self.rows();
        let among = |i: usize| (0..rows).filter(|&j| !self.are(i, j)).count() as f64;
        let among: Vec<f64> = (0..rows).map(among).collect();
        let (b, n) = (rows as f64, among.iter().sum::<f64>());
        if !one_by_one {
            return among.iter().map(|n| n.ln()).sum::<f64>() / b;
        }
        let others = n - b;
        if others == 0.0 { 0.0 } else { (n / b).ln() + others / b * (n / others).ln() }
    }

    /// −∞ for twins and 0 for all others: added to scores it takes twins out.
    fn mask<T: Float>(&self) -> Tensor<T> {
        let rows = self.rows();
        let mut mask = Tensor::zeros([rows, rows]);
        for (i, row) in mask.data_mut().chunks_exact_mut(rows).enumerate() {
            let twins = row.iter_mut().enumerate().filter(|(j, _)| self.are(i, *j));
            twins.for_each(|(_, x)| *x = T::of(f64::NEG_INFINITY));
        }
        mask
    }

    /// Whether rows i and j are twins.
    pub fn are(&self, i: usize, j: usize) -> bool {
        let [a, b] = [i, j].map(|row| self.firsts[row]);
        i != j && (a[0] == b[0] || a[1] == b[1])
    }
}

impl MicroBatch<'_> {
    /// The twins among its rows, by the numbers of its pictures and by its ids.
    pub fn twins(&self) -> Twins {
        let captions: Vec<&[u32]> = self.ids.chunks_exact(self.ids.len() / self.rows).collect();
        Twins::new(self.pictures, &captions)
    }
}

/// B·ℓ / divisor of scores `[B, B]` of pictures with captions, and of captions with pictures.
pub fn among_all<'t, T: Float>(scores: [Var<'t, T>; 2], twins: &Twins, divisor: f64) -> Var<'t, T> {
    let own: Vec<u32> = (0..twins.rows() as u32).collect();
    let [captions, pictures] = scores.map(|scores| {
        let mask = scores.tape().constant(twins.mask());
        (scores + mask).cross_entropy(&own, 2.0 * divisor)
    });
    captions + pictures
}

/// −Σᵢⱼ ln σ(zᵢⱼ·uᵢⱼ) / divisor of scores u `[B, B]`, bias included. As `σ(u) = eᵘ/(eᵘ + e⁰)`, this is the cross entropy of the
/// two scores u and 0, of which the first is right on the diagonal, and the second elsewhere.
pub fn one_by_one<'t, T: Float>(scores: Var<'t, T>, twins: &Twins, divisor: f64) -> Var<'t, T> {
    let (tape, rows) = (scores.tape(), twins.rows());
    let beside_zero = tape.constant(Tensor::of([1, 2], &[T::ONE, T::ZERO]));
    let both = scores.reshape([rows * rows, 1]).matmul(beside_zero); // [B·B, 2]
    let right = |at: usize| match [at / rows, at % rows] {
        [i, j] if i == j => 0,
        [i, j] if twins.are(i, j) => IGNORE,
        _ => 1,
    };
    let mut all = Indices::scratch(rows * rows);
    all.iter_mut().enumerate().for_each(|(at, target)| *target = right(at));
    both.cross_entropy(&all, divisor)
}

#[cfg(test)]
mod tests {
    use autograd::{Params, Tape};

    use super::*;

    /// ℓ of scores that are all the same.
    fn guessing(twins: &Twins, score: f64, sigmoid: bool) -> f64 {
        let params = Params::build(1, |_| ()).1.cast::<f64>();
        let tape = Tape::no_grad(&params);
        let scores = || tape.constant(Tensor::filled([twins.rows(), twins.rows()], score));
        let b = twins.rows() as f64;
        if sigmoid { one_by_one(scores(), twins, b).item() } else { among_all([scores(), scores()], twins, b).item() }
    }

    #[test]
    fn chance_is_the_loss_of_the_best_score_that_all_pairs_can_share() {
        let some = Twins::new(&[1, 2, 1, 4, 5], &["a", "b", "c", "c", "e"]);
        for twins in [Twins::none(5), some, Twins::new(&[1, 1, 1], &["a", "b", "c"])] {
            assert!((twins.chance(false) - guessing(&twins, 0.3, false)).abs() < 1e-12, "{twins:?}");
            let least = (-200..200).map(|u| guessing(&twins, f64::from(u) / 20.0, true)).fold(f64::INFINITY, f64::min);
            assert!((0.0..1e-3).contains(&(least - twins.chance(true))), "{least} {}", twins.chance(true));
        }
        assert!((Twins::none(256).chance(false) - 256f64.ln()).abs() < 1e-12);
    }
}
