//! The built-in world as rows of tokens.
//!
//! For next-token prediction a row begins with the end-of-text token and goes on with whole stories, each followed by one.
//! So every token of a story is predicted with all of the story before it in view, and the world's entropy is the loss to
//! reach. For masked prediction each story stands in its frame, and no such loss is known. Training rows break the last
//! story off; validation rows hold whole stories only, so that their −ln p is known exactly.

use tensor::random::Stream;
use tokenizer::Tokenizer;

use super::world::World;

/// Stories from which a tokenizer is trained: about half a megabyte.
const TOKENIZER_STORIES: u64 = 1500;
/// Stories to validate on.
const VAL_STORIES: u64 = 400;
/// Stories that a row of a step may use up, and rows that a step may have: story numbers never meet.
const ROW_STORIES: u64 = 1 << 10;
const STEP_ROWS: u64 = 1 << 20;

/// The world's stories as token ids.
pub struct Stories {
    world: World,
    tokenizer: Tokenizer,
    /// What a row begins with, and what stands before and after each story, as far as the tokenizer has such marks.
    first: Option<u32>,
    open: Option<u32>,
    close: Option<u32>,
    val: Vec<Vec<u32>>,
    /// Tokens that validation predicts.
    pub val_tokens: u64,
    /// Bytes of text behind these tokens.
    pub val_bytes: u64,
    /// What the validation rows cost by the world's own probabilities, in nats a token: no model can expect to pay less. Unknown
    /// where a story does not fit into a row.
    pub floor: Option<f64>,
    /// Nats a validation token of the training tokens' frequencies.
    pub unigram_entropy: f64,
}

impl Stories {
    /// A tokenizer of `vocab_size` tokens, trained on some stories of the shared world; 256 means bytes.
    pub fn train_tokenizer(vocab_size: usize) -> Result<Tokenizer, tokenizer::Error> {
        let text = |i| World::shared().story(Stream::World, u64::MAX - i).text;
        let texts: Vec<String> = (0..TOKENIZER_STORIES).map(text).collect();
        Tokenizer::train(&texts.iter().map(String::as_bytes).collect::<Vec<_>>(), vocab_size)
    }

    /// The world in tokens, with validation rows for `block` positions, which are the same for every seed.
    pub fn new(world: World, tokenizer: Tokenizer, block: usize) -> Self {
        let frame = tokenizer.frame();
        let (first, open, close) = match frame {
            Some(frame) => (None, Some(frame.cls), Some(frame.sep)),
            None => (tokenizer.end_of_text(), None, tokenizer.end_of_text()),
        };
        // A target stands one further than its input, or in its place.
        let row = block + usize::from(frame.is_none());
        let mut stories = Self {
            world,
            tokenizer,
            first,
            open,
            close,
            val: Vec::new(),
            val_tokens: 0,
            val_bytes: 0,
            floor: None,
            unigram_entropy: 0.0,
        };
        stories.lay_out_validation(row);
        stories.unigram_entropy = stories.measure_unigram();
        stories
    }

    /// A story's ids, what frames it included, and its nats.
    fn encode(&self, world: World, stream: Stream, index: u64, ids: &mut Vec<u32>) -> f64 {
        let story = world.story(stream, index);
        ids.extend(self.open);
        self.tokenizer.encode_ordinary(story.text.as_bytes(), ids);
        ids.extend(self.close);
        story.nats
    }

    /// Whole stories in rows of at most `longest` tokens.
    fn lay_out_validation(&mut self, longest: usize) {
        let (mut nats, mut all_fit) = (0.0, true);
        let mut row: Vec<u32> = self.first.into_iter().collect();
        for index in 0..VAL_STORIES {
            let mut ids = Vec::new();
            nats += self.encode(World::shared(), Stream::WorldVal, index, &mut ids);
            all_fit &= ids.len() + self.first.iter().len() <= longest;
            if row.len() + ids.len() > longest && row.len() > 1 {
                self.val.push(std::mem::replace(&mut row, self.first.into_iter().collect()));
            }
            row.extend(ids);
            row.truncate(longest);
        }
        self.val.push(row);
        let marks = [self.first, self.open, self.close];
        let text = |row: &[u32]| {
            let words: Vec<u32> = row.iter().copied().filter(|&id| !marks.contains(&Some(id))).collect();
            self.tokenizer.decode(&words).map_or(0, |text| text.len())
        };
        let predicted = || self.val.iter().map(|row| &row[1..]);
        self.val_tokens = predicted().map(|row| row.len() as u64).sum();
        self.val_bytes = predicted().map(|row| text(row) as u64).sum();
        // Bytes have no end-of-text token, so a row's first byte is never predicted and the floor is not exact.
        self.floor = (all_fit && self.first.is_some()).then(|| nats / self.val_tokens as f64);
    }

    fn measure_unigram(&self) -> f64 {
        let mut counts = vec![1.0; self.tokenizer.vocab_size()]; // add one, so that no token is impossible
        let mut ids = Vec::new();
        (0..VAL_STORIES * 4).for_each(|i| {
            self.encode(World::shared(), Stream::World, u64::MAX - i, &mut ids);
        });
        ids.iter().for_each(|&id| counts[id as usize] += 1.0);
        // What frames a text is never to be found.
        let frame = self.tokenizer.frame();
        let framing = |id: u32| frame.is_some_and(|frame| frame.holds(id));
        (0..counts.len()).filter(|&id| framing(id as u32)).for_each(|id| counts[id] = 0.0);
        let total: f64 = counts.iter().sum();
        let predicted = self.val.iter().flat_map(|row| &row[1..]).filter(|&&id| !framing(id));
        let costs: Vec<f64> = predicted.map(|&id| -(counts[id as usize] / total).ln()).collect();
        costs.iter().sum::<f64>() / costs.len() as f64
    }

    /// Fills a row of step `step` with stories that no other row of any step sees.
    pub fn sample(&self, step: u64, row: u64, window: &mut [u32]) {
        let first = (step * STEP_ROWS + row) * ROW_STORIES;
        let mut ids: Vec<u32> = self.first.into_iter().collect();
        for index in (0..ROW_STORIES).cycle() {
            if ids.len() >= window.len() {
                break;
            }
            self.encode(self.world, Stream::World, first + index, &mut ids);
        }
        window.copy_from_slice(&ids[..window.len()]);
    }

    /// How many validation rows there are.
    pub fn val_rows(&self) -> usize {
        self.val.len()
    }

    /// A validation row: whole stories.
    pub fn val_row(&self, row: usize) -> &[u32] {
        &self.val[row]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stories(block: usize) -> Stories {
        Stories::new(World::new(1), Stories::train_tokenizer(512).unwrap(), block)
    }

    #[test]
    fn the_floor_is_the_entropy_of_the_world_within_sampling_error() {
        let stories = stories(160);
        let per_story = stories.floor.unwrap() * stories.val_tokens as f64 / VAL_STORIES as f64;
        assert!((per_story / World::entropy() - 1.0).abs() < 0.02, "{per_story} {}", World::entropy());
    }

    #[test]
    fn the_floor_is_unknown_where_stories_do_not_fit() {
        assert!(stories(160).floor.is_some());
        assert_eq!(stories(32).floor, None);
    }

    #[test]
    fn bytes_are_those_of_the_predicted_tokens() {
        let world = World::new(1);
        let whole: usize = (0..VAL_STORIES).map(|i| world.story(Stream::WorldVal, i).text.len()).sum();
        assert_eq!(stories(160).val_bytes, whole as u64);
        for block in [32, 160] {
            let bytes = Stories::new(world, Stories::train_tokenizer(256).unwrap(), block);
            assert_eq!(bytes.val_bytes, bytes.val_tokens, "a token is a byte");
            assert!(bytes.val_bytes < whole as u64);
        }
        let stories = super::super::Corpus::World(Box::new(stories(160)));
        let of_all = stories.bytes_per_token().unwrap() * stories.val_tokens() as f64;
        assert!((of_all - whole as f64).abs() < 1e-6, "{of_all} {whole}");
    }

    #[test]
    fn every_seed_learns_other_stories_and_is_validated_on_the_same() {
        let tokenizer = Stories::train_tokenizer(512).unwrap();
        let [one, two] = [1, 2].map(|seed| Stories::new(World::new(seed), tokenizer.clone(), 64));
        assert_eq!((&one.val, one.floor, one.unigram_entropy), (&two.val, two.floor, two.unigram_entropy));
        let [first, second] = [&one, &two].map(|stories| {
            let mut window = vec![0; 65];
            stories.sample(0, 0, &mut window);
            window
        });
        assert_ne!(first, second);
    }

    #[test]
    fn rows_are_functions_of_step_and_row_and_begin_with_a_story() {
        let stories = stories(64);
        let row = |step, row| {
            let mut window = vec![0; 65];
            stories.sample(step, row, &mut window);
            window
        };
        assert_eq!(row(3, 1), row(3, 1));
        assert_ne!(row(3, 1), row(3, 2));
        assert_ne!(row(3, 1), row(4, 1));
        assert_eq!(Some(row(3, 1)[0]), stories.first);
    }
}
