//! What can be said of a picture: several true captions of a scene, which differ in what they tell and in their words.
//!
//! As in the stories, a wording is a sentence with slots. `{object}` is the next of the objects that the caption is about,
//! its size said or not; `{whole}` says the size always and `{bare}` never. `{place}` is where the object named last is,
//! and `{relation}` how it lies to the object named next.

use tensor::random::Random;

use super::scene::{Colour, Object, Scene, Shape};
use super::words::{Part, parts};

/// Captions of a scene.
pub const CAPTIONS: usize = 5;

/// All there is to say of one, two or three objects.
const WHOLE: [&str; 3] =
    ["{whole} {place}", "{whole} {place} and {whole} {place}", "{whole} {place}, {whole} {place} and {whole} {place}"];

/// What is said of one, two or three objects. Longer ones say no sizes: 25 words are the longest caption.
const WORDINGS: [&[&str]; 3] = [
    &["{object}", "{object} {place}", "{object} on a table"],
    &[
        "{object} and {object}",
        "{object} {place} and {object} {place}",
        "{object} {relation} {object}",
        "{object} {relation} {object} on a table",
    ],
    &[
        "{object}, {object} and {object}",
        "{bare} {place}, {bare} {place} and {bare} {place}",
        "{object} {place} and {object} {relation} {object}",
    ],
];

/// What half of the captions begin with.
const FRAMES: &[&str] = &["a picture of ", "there is ", "we see ", "here is "];

/// Words, and others that are said for them half of the time.
const SYNONYMS: &[(&str, &str)] = &[
    ("cube", "box"),
    ("small", "little"),
    ("big", "large"),
    ("in the middle", "in the centre"),
    ("left of", "to the left of"),
    ("right of", "to the right of"),
    ("below", "under"),
    ("next to", "beside"),
];

/// The name of a combination, as in "a red ball": one of 64 texts, with which a model is asked what a picture shows.
pub fn name((shape, colour): (Shape, Colour)) -> String {
    with_article(format!("{} {}", colour.word(), shape.word()))
}

/// Captions of a scene, all different, the first of which tells everything.
pub(super) fn captions(random: &mut Random, scene: &Scene) -> Vec<String> {
    captions_of_both(random, [scene, scene]).map(|both| both[0].clone()).collect()
}

/// The captions of a scene, each with what is said in its place of another scene, which has as many objects: the same text, as
/// long as what it says is true of both.
pub(super) fn captions_of_both(random: &mut Random, scenes: [&Scene; 2]) -> impl Iterator<Item = [String; 2]> {
    assert_eq!(scenes[0].objects.len(), scenes[1].objects.len(), "captions of both");
    let both: Vec<[Object; 2]> = scenes[0].objects.iter().zip(&scenes[1].objects).map(|(a, b)| [*a, *b]).collect();
    let whole = speak(random, WHOLE[both.len() - 1], both.clone());
    let mut captions = vec![whole];
    while captions.len() < CAPTIONS {
        // The larger of two numbers: most captions are about all objects.
        let mut any = || 1 + random.below(both.len() as u64) as usize;
        let named = any().max(any());
        let mut objects = both.clone();
        random.shuffle(&mut objects);
        let frame = if coin(random) { one_of(random, FRAMES) } else { "" };
        let wording = one_of(random, WORDINGS[named - 1]);
        let caption = speak(random, wording, objects).map(|said| format!("{frame}{said}"));
        if captions.iter().all(|said| said[0] != caption[0]) {
            captions.push(caption);
        }
    }
    captions.into_iter()
}

/// Says a wording of two scenes, with its slots filled from the first of `objects`. What is drawn depends on the wording alone:
/// so what is true of both scenes is said of both in the same words.
fn speak(random: &mut Random, wording: &str, objects: Vec<[Object; 2]>) -> [String; 2] {
    let mut texts = [String::new(), String::new()];
    let mut objects = objects.into_iter().peekable();
    let mut last = None;
    for part in parts(wording) {
        let filled: [String; 2] = match part {
            Part::Text(text) => [text.to_owned(), text.to_owned()],
            Part::Drawn("place") => {
                let of: [Object; 2] = last.expect("a place is of the object before it");
                let other = coin(random);
                of.map(|object| say(object.place.word(), other).to_owned())
            }
            Part::Drawn("relation") => {
                let (Some(a), Some(b)) = (last, objects.peek()) else { panic!("a relation is between two: {wording}") };
                let [first, second] = [0, 1].map(|scene| relations(a[scene], b[scene]));
                let (drawn, other) = (random.below(2) as usize, coin(random));
                let relation = first[drawn % first.len()];
                let still = if second.contains(&relation) { relation } else { second[drawn % second.len()] };
                [relation, still].map(|relation| say(relation, other).to_owned())
            }
            Part::Recalled(slot) => panic!("captions recall nothing: {slot}"),
            Part::Drawn(slot) => {
                let of = objects.next().expect("a wording speaks of as many objects as there are");
                last = Some(of);
                let [size, shape] = [coin(random), coin(random)];
                let sized = slot == "whole" || slot == "object" && coin(random);
                of.map(|object| described(object, sized.then_some(size), shape))
            }
        };
        texts.iter_mut().zip(filled).for_each(|(text, filled)| text.push_str(&filled));
    }
    texts
}

/// "a small red ball" or "a red ball": the size only if one is wanted, which says whether by its other word, and the shape by its
/// other word or not.
fn described(object: Object, size: Option<bool>, other: bool) -> String {
    let size = size.map_or(String::new(), |other| format!("{} ", say(object.size.word(), other)));
    with_article(format!("{size}{} {}", object.colour.word(), say(object.shape.word(), other)))
}

/// How `a` clearly lies to `b`: to a side only if it lies that way at least as far as across it. Two objects always have
/// one relation or two.
fn relations(a: Object, b: Object) -> Vec<&'static str> {
    let (a, b) = (a.place, b.place);
    let (across, down) = (a.column().abs_diff(b.column()), a.row().abs_diff(b.row()));
    let mut relations = Vec::new();
    if across >= down {
        relations.push(if a.column() < b.column() { "left of" } else { "right of" });
    }
    if down >= across {
        relations.push(if a.row() < b.row() { "above" } else { "below" });
    }
    if across + down == 1 {
        relations.push("next to");
    }
    relations
}

fn with_article(noun: String) -> String {
    format!("{} {noun}", if noun.starts_with('o') { "an" } else { "a" }) // "an orange ball"
}

/// A word, or another for it, if there is one.
fn say(word: &'static str, other: bool) -> &'static str {
    SYNONYMS.iter().find(|(usual, _)| other && *usual == word).map_or(word, |(_, other)| other)
}

/// One of some items, all equally probable.
pub(super) fn one_of<I: Copy>(random: &mut Random, items: &[I]) -> I {
    items[random.below(items.len() as u64) as usize]
}

fn coin(random: &mut Random) -> bool {
    random.below(2) == 0
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tensor::random::Stream;

    use super::super::World;
    use super::super::pictured::{Pictured, combinations};
    use super::super::scene::{Place, Size};
    use super::*;

    fn pictured() -> impl Iterator<Item = Pictured> {
        let both = |index| {
            let world = World::new(3);
            [world.pictured(Stream::Pictured, index), world.neighbour(Stream::Pictured, index)]
        };
        (0..2_500).flat_map(both)
    }

    /// Takes the word or phrase that `text` begins with, and returns what it stands for.
    fn take<I: Copy>(text: &mut &str, words: &[(&str, I)]) -> Option<I> {
        let (word, item) = words.iter().find(|(word, _)| text.starts_with(word))?;
        *text = text[word.len()..].trim_start();
        Some(*item)
    }

    /// Takes "a small red ball" and finds it in the scene.
    fn take_object(text: &mut &str, scene: &Scene) -> Option<Object> {
        const SIZES: &[(&str, Size)] = &[
            ("tiny", Size::Tiny),
            ("small", Size::Small),
            ("little", Size::Small),
            ("big", Size::Big),
            ("large", Size::Big),
        ];
        take(text, &[("a ", ()), ("an ", ())])?;
        let size = take(text, SIZES);
        let colour = take(text, &Colour::ALL.iter().map(|c| (c.word(), *c)).collect::<Vec<_>>())?;
        let mut shapes: Vec<_> = Shape::ALL.iter().map(|s| (s.word(), *s)).collect();
        shapes.push(("box", Shape::Cube));
        let shape = take(text, &shapes)?;
        let found = scene.objects.iter().find(|o| o.shape == shape)?;
        (found.colour == colour && size.is_none_or(|size| size == found.size)).then_some(*found)
    }

    /// Whether a caption is true of a scene: reads it again, word by word.
    fn is_true(caption: &str, scene: &Scene) -> Option<()> {
        type Holds = fn(i32, i32) -> bool; // of how far the second object is to the right of the first, and below it
        const RELATIONS: &[(&str, Holds)] = &[
            ("left of", |x, y| x > 0 && y.abs() <= x),
            ("to the left of", |x, y| x > 0 && y.abs() <= x),
            ("right of", |x, y| x < 0 && y.abs() <= -x),
            ("to the right of", |x, y| x < 0 && y.abs() <= -x),
            ("above", |x, y| y > 0 && x.abs() <= y),
            ("below", |x, y| y < 0 && x.abs() <= -y),
            ("under", |x, y| y < 0 && x.abs() <= -y),
            ("next to", |x, y| x * x + y * y == 1),
            ("beside", |x, y| x * x + y * y == 1),
        ];
        let mut places: Vec<_> = Place::ALL.iter().map(|p| (p.word(), *p)).collect();
        places.push(("in the centre", Place::Middle));
        let mut text = FRAMES.iter().find_map(|frame| caption.strip_prefix(frame)).unwrap_or(caption);
        text = text.strip_suffix(" on a table").unwrap_or(text);
        let mut last = take_object(&mut text, scene)?;
        while !text.is_empty() {
            if let Some(place) = take(&mut text, &places) {
                (place == last.place).then_some(())?;
            } else if let Some(holds) = take(&mut text, RELATIONS) {
                let next = take_object(&mut text, scene)?;
                let apart = |of: fn(Place) -> usize| of(next.place) as i32 - of(last.place) as i32;
                holds(apart(Place::column), apart(Place::row)).then_some(())?;
                last = next;
            } else {
                take(&mut text, &[("and ", ()), (", ", ())])?;
                last = take_object(&mut text, scene)?;
            }
        }
        Some(())
    }

    #[test]
    fn every_caption_is_true_of_its_scene() {
        for Pictured { scene, captions } in pictured() {
            for caption in captions {
                assert!(is_true(&caption, &scene).is_some(), "{caption}: {scene:?}");
            }
        }
    }

    #[test]
    fn a_caption_is_mostly_untrue_of_another_scene() {
        let scenes: Vec<Pictured> = pictured().collect();
        let neighbours =
            scenes.chunks(2).filter(|pair| is_true(&pair[0].captions[0], &pair[1].scene).is_none()).count();
        assert_eq!(neighbours, 2_500, "the first caption tells everything");
        let others = scenes.chunks(2).zip(scenes[2..].chunks(2));
        let untrue = others.filter(|(a, b)| is_true(&a[0].captions[0], &b[0].scene).is_none()).count();
        assert!(untrue > 2_490, "{untrue}");
    }

    #[test]
    fn what_is_still_true_of_a_neighbour_is_said_of_it_in_the_same_words_and_what_is_not_is_said_otherwise() {
        let scenes: Vec<Pictured> = pictured().collect();
        let mut same = 0;
        for pair in scenes.chunks(2) {
            for (first, second) in pair[0].captions.iter().zip(&pair[1].captions) {
                let still = is_true(first, &pair[1].scene).is_some();
                assert_eq!(first == second, still, "{first}: {second}: {:?}", pair[1].scene);
                same += usize::from(still);
            }
        }
        assert!((3_000..4_500).contains(&same), "{same} of 12,500");
    }

    #[test]
    fn captions_of_a_scene_differ_and_have_at_most_25_words() {
        for (i, Pictured { captions, .. }) in pictured().enumerate() {
            let different = captions.iter().collect::<BTreeSet<_>>().len();
            let coincide = i % 2; // of a neighbour two may come to say the same
            assert!(different >= CAPTIONS - coincide, "{captions:?}");
            assert!(captions.iter().all(|c| c.split(' ').count() <= 25 && !c.contains("  ")), "{captions:?}");
        }
    }

    #[test]
    fn the_words_of_captions_are_a_closed_list() {
        let mut said = BTreeSet::new();
        for caption in pictured().flat_map(|p| p.captions) {
            said.extend(caption.split([' ', ',']).filter(|word| !word.is_empty()).map(str::to_owned));
        }
        println!("{} words: {said:?}", said.len());
        let known = "a an and tiny small little big large \
             red orange yellow green blue purple black white ball cube box star ring heart moon cone cross \
             in on at the top left right middle centre bottom to of above below under next beside \
             picture there is here we see table";
        assert_eq!(said, known.split(' ').map(str::to_owned).collect());
    }

    #[test]
    fn a_name_is_a_caption_too() {
        let all: BTreeSet<String> = pictured().flat_map(|p| p.captions).collect();
        let names: BTreeSet<String> = combinations().into_iter().map(name).collect();
        assert_eq!(names.len(), 64);
        assert!(names.contains("a red ball") && names.contains("an orange cross"));
        assert!(names.intersection(&all).count() > 50);
    }
}
