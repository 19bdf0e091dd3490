//! A scene as a picture: the table top from above, each object in its field.
//!
//! First everything that chance decides is drawn from the random stream, in units of the picture's side: the table's tint,
//! the light, and where in its field, how turned and in what hue each object is. Only then are there pixels, so a picture
//! shows the same at any size. A model that is to match pictures with captions has to look past all of it: of this, no
//! caption says a word.

use tensor::random::{Random, Stream};

use super::World;
use super::scene::{Colour, Object, Scene, Shape, Size};
use super::shapes::distance;
use crate::data::pictures::Picture;

/// Red, green and blue from 0 to 1.
type Rgb = [f32; 3];

/// Samples of a pixel in each direction: their mean is a smooth outline, and a line thinner than a pixel is as dark as it is wide.
const SAMPLES: usize = 6;
/// The side of a field.
const FIELD: f32 = 1.0 / 3.0;
/// How far an object's shadow falls and how soft its outline is, in radii of the object.
const SHADOW: f32 = 0.12;
const SOFT: f32 = 0.2;
/// How wide the dark line at the edge of an object is, in its radii, and its colour. As in a drawing, it shows a shape in the
/// same way whatever colour fills it: who has seen cones of other colours can tell a white one.
const EDGE: f32 = 0.19;
const EDGE_COLOUR: Rgb = [0.1, 0.1, 0.12];
/// All that an object changes is within so many of its radii.
const REACH: f32 = 1.0 + SHADOW + SOFT / 2.0;

/// The radius of an object: steps large enough that a size can be told without another object beside it.
fn radius(size: Size) -> f32 {
    match size {
        Size::Tiny => 0.075,
        Size::Small => 0.1,
        Size::Big => 0.132,
    }
}

fn rgb(colour: Colour) -> Rgb {
    match colour {
        Colour::Red => [0.87, 0.13, 0.15],
        Colour::Orange => [0.98, 0.52, 0.08],
        Colour::Yellow => [0.98, 0.88, 0.15],
        Colour::Green => [0.15, 0.62, 0.24],
        Colour::Blue => [0.13, 0.33, 0.86],
        Colour::Purple => [0.54, 0.20, 0.70],
        Colour::Black => [0.08, 0.08, 0.10],
        Colour::White => [0.92, 0.92, 0.92], // less than 1: light and shade are seen on it too
    }
}

impl World {
    /// A picture of a scene, `side` pixels wide and high; 16 show it roughly, 32 to 64 well. Which of all its pictures it
    /// is depends on (seed, stream, index) alone; no two of them are alike.
    pub fn drawn(&self, scene: &Scene, stream: Stream, index: u64, side: usize) -> Picture {
        // A drawing takes far fewer than 2³² numbers, so no stream's drawings meet another's.
        let mut random = Random::new(self.seed, Stream::Drawing, index).at((stream as u64) << 32);
        Drawing::new(scene, &mut random).picture(side)
    }
}

/// All that is to be seen. Lengths are in sides of the picture, x goes right, y goes up, (0, 0) is the middle.
struct Drawing {
    table: Rgb,
    light: Light,
    things: Vec<Thing>,
}

/// Where light comes from, as a vector of length 1, and how much of it.
struct Light {
    x: f32,
    y: f32,
    strength: f32,
}

/// An object as it is drawn.
struct Thing {
    shape: Shape,
    colour: Rgb,
    x: f32,
    y: f32,
    radius: f32,
    /// Sine and cosine of the angle by which it is turned.
    turn: (f32, f32),
}

impl Drawing {
    fn new(scene: &Scene, random: &mut Random) -> Self {
        // A grey with a little of some hue: no object has such a colour, and black and white both stand out from it.
        let (grey, hue) = (between(random, 0.52, 0.72), between(random, 0.0, std::f32::consts::TAU));
        let table = [0.0, 1.0, 2.0].map(|third| grey + 0.06 * (hue + third * std::f32::consts::TAU / 3.0).cos());
        let from = between(random, 60.0, 150.0).to_radians(); // from above, mostly from the left
        let light = Light { x: from.cos(), y: from.sin(), strength: between(random, 0.88, 1.06) };
        Self { table, light, things: scene.objects.iter().map(|object| Thing::new(object, random)).collect() }
    }

    /// Pixels from the top left.
    fn picture(&self, side: usize) -> Picture {
        let pixel = 1.0 / side as f32;
        let mut colours = Vec::with_capacity(side * side);
        for row in 0..side {
            for column in 0..side {
                let (x, y) = ((column as f32 + 0.5) * pixel - 0.5, 0.5 - (row as f32 + 0.5) * pixel);
                let lit = 1.0 + 0.15 * (x * self.light.x + y * self.light.y); // brighter towards the light
                colours.push(self.table.map(|c| c * lit));
            }
        }
        self.things.iter().for_each(|thing| thing.draw(&self.light, &mut colours, side));
        let byte = |c: f32| (255.0 * self.light.strength * c).clamp(0.0, 255.0).round() as u8;
        Picture { width: side, height: side, rgb: colours.iter().flatten().map(|&c| byte(c)).collect() }
    }
}

impl Thing {
    fn new(object: &Object, random: &mut Random) -> Self {
        let radius = radius(object.size);
        // It moves within its field as far as there is room, but not so far as to look misplaced.
        let room = (FIELD / 2.0 - REACH * radius).min(FIELD / 8.0);
        let mut at = |field: usize| (field as f32 - 1.0) * FIELD + between(random, -room, room);
        let (x, y) = (at(object.place.column()), -at(object.place.row()));
        let turn = between(random, -15.0, 15.0).to_radians().sin_cos();
        let colour = rgb(object.colour).map(|c| (c + between(random, -0.04, 0.04)).clamp(0.0, 1.0));
        Self { shape: object.shape, colour, x, y, radius, turn }
    }

    /// Draws it onto the pixels that it may change: each becomes the mean of its samples.
    fn draw(&self, light: &Light, colours: &mut [Rgb], side: usize) {
        let reach = REACH * self.radius;
        let pixels = |middle: f32| {
            let ends = [middle - reach, middle + reach].map(|end| (end + 0.5) * side as f32);
            ends[0].max(0.0) as usize..(ends[1].ceil() as usize).min(side)
        };
        let step = 1.0 / (side * SAMPLES) as f32;
        for row in pixels(-self.y) {
            for column in pixels(self.x) {
                let colour = &mut colours[row * side + column];
                let under = *colour;
                *colour = [0.0; 3];
                for sample in 0..SAMPLES * SAMPLES {
                    let right = (column * SAMPLES + sample % SAMPLES) as f32 + 0.5;
                    let down = (row * SAMPLES + sample / SAMPLES) as f32 + 0.5;
                    let seen = self.over(under, light, right * step - 0.5, 0.5 - down * step);
                    (0..3).for_each(|c| colour[c] += seen[c] / (SAMPLES * SAMPLES) as f32);
                }
            }
        }
    }

    /// The colour at a point where there was `under`: the object's, its shadow's, or still the same.
    fn over(&self, under: Rgb, light: &Light, x: f32, y: f32) -> Rgb {
        let (x, y) = ((x - self.x) / self.radius, (y - self.y) / self.radius);
        let outside = self.distance(x, y);
        if outside > 0.0 {
            let from_shadow = self.distance(x + SHADOW * light.x, y + SHADOW * light.y);
            let shade = (0.5 - from_shadow / SOFT).clamp(0.0, 1.0);
            return under.map(|c| c * (1.0 - 0.35 * shade));
        }
        if outside > -EDGE {
            return EDGE_COLOUR;
        }
        let lit = 1.0 + 0.12 * (x * light.x + y * light.y);
        // A ball is round in the third direction too: light shines back from where it faces the light.
        let shine = match self.shape {
            Shape::Ball => 0.45 * (-((x - 0.4 * light.x).powi(2) + (y - 0.4 * light.y).powi(2)) / 0.1).exp(),
            _ => 0.0,
        };
        self.colour.map(|c| c * lit + (1.0 - c) * shine)
    }

    /// How far a point, in radii from the object's middle, is outside the object.
    fn distance(&self, x: f32, y: f32) -> f32 {
        let (sin, cos) = self.turn;
        distance(self.shape, cos * x + sin * y, cos * y - sin * x)
    }
}

fn between(random: &mut Random, low: f32, high: f32) -> f32 {
    low + (high - low) * random.uniform() as f32
}

#[cfg(test)]
mod tests {
    use super::super::scene::Place;
    use super::*;

    const SIDE: usize = 48;

    fn one(shape: Shape, colour: Colour, size: Size, place: Place) -> Scene {
        Scene { objects: vec![Object { shape, colour, size, place }] }
    }

    fn drawn(scene: &Scene, index: u64) -> Picture {
        World::new(1).drawn(scene, Stream::Other, index, SIDE)
    }

    /// How much each pixel of two pictures differs, in its most different colour.
    fn differences(a: &Picture, b: &Picture) -> Vec<u8> {
        let pixels = a.rgb.chunks(3).zip(b.rgb.chunks(3));
        pixels.map(|(a, b)| (0..3).map(|c| a[c].abs_diff(b[c])).fold(0, u8::max)).collect()
    }

    fn mean(values: &[u8]) -> f64 {
        values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64
    }

    #[test]
    fn the_same_key_gives_the_same_pixels_and_another_key_others() {
        let scene = one(Shape::Star, Colour::Red, Size::Small, Place::Left);
        let draw = |seed, stream, index| World::new(seed).drawn(&scene, stream, index, SIDE);
        let base = draw(1, Stream::Pictured, 0);
        assert_eq!(base, draw(1, Stream::Pictured, 0));
        for other in [draw(2, Stream::Pictured, 0), draw(1, Stream::PicturedVal, 0), draw(1, Stream::Pictured, 1)] {
            assert!(mean(&differences(&base, &other)) > 1.0);
        }
    }

    #[test]
    fn an_object_and_its_shadow_lie_within_their_field() {
        for (i, &shape) in Shape::ALL.iter().enumerate() {
            for (j, &place) in Place::ALL.iter().enumerate() {
                for (k, &size) in Size::ALL.iter().enumerate() {
                    let (colour, index) = (Colour::ALL[(i + j + k) % 8], (i * 27 + j * 3 + k) as u64);
                    // The table and the light are drawn first, so they are those of the empty table.
                    let with = drawn(&one(shape, colour, size, place), index);
                    let changed = differences(&with, &drawn(&Scene::default(), index));
                    let field = |at: usize| (at / SIDE / (SIDE / 3), at % SIDE / (SIDE / 3));
                    let fields = (0..SIDE * SIDE).filter(|&at| changed[at] > 0).map(field);
                    assert!(fields.clone().count() > 8, "{shape:?} {colour:?} {size:?} {place:?}");
                    assert!(fields.clone().all(|f| f == (place.row(), place.column())), "{shape:?} {size:?} {place:?}");
                }
            }
        }
    }

    #[test]
    fn every_shape_differs_from_every_other_at_every_size() {
        for &size in Size::ALL {
            for index in 0..20 {
                let draw = |&shape: &Shape| drawn(&one(shape, Colour::Black, size, Place::Middle), index);
                let (pictures, empty): (Vec<Picture>, _) =
                    (Shape::ALL.iter().map(draw).collect(), drawn(&Scene::default(), index));
                for (a, first) in pictures.iter().enumerate() {
                    for (b, second) in pictures[..a].iter().enumerate() {
                        // As a share of all that the first changes on the table.
                        let share = mean(&differences(first, second)) / mean(&differences(first, &empty));
                        assert!(share > 0.22, "{size:?} {:?} {:?}: {share}", Shape::ALL[a], Shape::ALL[b]);
                    }
                }
            }
        }
    }

    #[test]
    fn a_tiny_shape_of_four_pixels_is_known_by_the_picture_most_like_it() {
        // The middle field in 32 pixels, as shares of its brightest green.
        let field = |shape, index| {
            let scene = one(shape, Colour::Black, Size::Tiny, Place::Middle);
            let picture = World::new(1).drawn(&scene, Stream::Other, index, 32);
            let green: Vec<f32> =
                (0..144).map(|i| f32::from(picture.rgb[((10 + i / 12) * 32 + 10 + i % 12) * 3 + 1])).collect();
            let most = green.iter().copied().fold(0.0, f32::max);
            green.into_iter().map(|g| g / most).collect::<Vec<f32>>()
        };
        let apart = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
        let known = Shape::ALL.iter().flat_map(|&shape| (0..300).map(move |index| (shape, field(shape, index))));
        let known: Vec<(Shape, Vec<f32>)> = known.collect();
        for &shape in Shape::ALL {
            for index in 1_000..1_010 {
                let asked = field(shape, index);
                let nearest = known.iter().min_by(|a, b| apart(&a.1, &asked).total_cmp(&apart(&b.1, &asked)));
                assert_eq!(nearest.map(|n| n.0), Some(shape), "{index}");
            }
        }
    }

    #[test]
    fn a_larger_size_is_larger_for_every_shape_whatever_else_is_drawn() {
        for &shape in Shape::ALL {
            // Pixels that are the object's more than the table's.
            let area = |size, index| {
                let with = drawn(&one(shape, Colour::Black, size, Place::Middle), index);
                let changed = differences(&with, &drawn(&Scene::default(), index));
                changed.iter().filter(|&&d| d > 60).count()
            };
            let areas = Size::ALL.iter().map(|&size| (0..50).map(|i| area(size, i)).collect::<Vec<_>>());
            let areas: Vec<_> = areas.map(|a| (a.iter().min().copied(), a.iter().max().copied())).collect();
            assert!(areas.windows(2).all(|pair| pair[0].1 < pair[1].0), "{shape:?} {areas:?}");
        }
    }

    #[test]
    fn every_colour_stands_out_from_every_table_and_from_every_other() {
        let middle = SIDE / 2 * SIDE + SIDE / 2;
        for index in 0..300 {
            let mut pictures: Vec<_> = Colour::ALL
                .iter()
                .map(|&colour| drawn(&one(Shape::Cube, colour, Size::Big, Place::Middle), index))
                .collect();
            pictures.push(drawn(&Scene::default(), index));
            for (i, a) in pictures.iter().enumerate() {
                for b in &pictures[..i] {
                    let difference = differences(a, b)[middle];
                    assert!(difference > 45, "{index}: {difference} {i}");
                }
            }
        }
    }

    #[test]
    fn a_picture_shows_the_same_at_any_size() {
        let world = World::new(1);
        for (index, side) in (0..60).map(|i| (i, [16, 32, 128][i as usize % 3])) {
            let scene = world.pictured(Stream::Pictured, index).scene;
            let [small, large] = [side, 2 * side].map(|side| world.drawn(&scene, Stream::Pictured, index, side));
            let halved = (0..3 * side * side).map(|i| {
                let (row, column, colour) = (i / 3 / side, i / 3 % side, i % 3);
                let four = [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(down, right)| {
                    u32::from(large.rgb[((2 * row + down) * 2 * side + 2 * column + right) * 3 + colour])
                });
                (four.iter().sum::<u32>() as f64 / 4.0).round() as u8
            });
            let apart = differences(&small, &Picture { width: side, height: side, rgb: halved.collect() });
            assert!(mean(&apart) < 2.0 && apart.iter().all(|&d| d < 25), "{side} {index}: {}", mean(&apart));
        }
    }
}
