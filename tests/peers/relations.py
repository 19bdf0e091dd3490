#!/usr/bin/env python3
"""Does a search among the built-in world's scenes find what a sentence says of how two things lie to each other?

    python relations.py RUN [SENTENCES [PRETEXT]]

Draws so many sentences [40], such as "a white heart left of a black star", of combinations that training shows, lets
`pretext search RUN` find ten scenes for each, and looks up in the first caption of each scene, which tells everything,
whether it is so. Prints how often the first scene shows it, how many of the ten do, and for how many sentences one does.
"""
import argparse
import json
import random
import re
import subprocess

COLOURS = "red orange yellow green blue purple black white".split()
SHAPES = "ball cube star ring heart moon cone cross".split()
HELD_OUT = {"purple ball", "yellow cube", "blue star", "red ring", "green heart", "orange moon", "white cone", "black cross"}
PLACES = {"in the top left": (0, 0), "at the top": (1, 0), "in the top right": (2, 0),
          "on the left": (0, 1), "in the middle": (1, 1), "in the centre": (1, 1), "on the right": (2, 1),
          "in the bottom left": (0, 2), "at the bottom": (1, 2), "in the bottom right": (2, 2)}
# Of how far the second thing is to the right of the first, and below it.
RELATIONS = {"left of": lambda x, y: x > 0 and abs(y) <= x, "right of": lambda x, y: x < 0 and abs(y) <= -x,
             "above": lambda x, y: y > 0 and abs(x) <= y, "below": lambda x, y: y < 0 and abs(x) <= -y}


def article(thing):
    return ("an " if thing.startswith("o") else "a ") + thing


def scene(caption):
    """Where each thing is: "a small red ball on the left and …" → {"red ball": (0, 1), …}."""
    things = {}
    for part in re.split(r"(?:,| and) (?=an? )", caption):
        _, rest = part.split(" ", 1)
        rest = re.sub(r"^(tiny|small|little|big|large) ", "", rest).replace("box", "cube")
        colour, shape, place = rest.split(" ", 2)
        things[f"{colour} {shape}"] = PLACES[place]
    return things


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("run")
    p.add_argument("sentences", nargs="?", type=int, default=40)
    p.add_argument("program", nargs="?", default="pretext")
    a = p.parse_args()
    draw, shown = random.Random(5), []
    all_things = [f"{colour} {shape}" for colour in COLOURS for shape in SHAPES if f"{colour} {shape}" not in HELD_OUT]
    while len(shown) < a.sentences:
        first, second = draw.sample(all_things, 2)
        if first.split()[1] == second.split()[1]:
            continue  # no scene has a shape twice
        relation = draw.choice(list(RELATIONS))
        words = [a.program, "search", a.run, f"{article(first)} {relation} {article(second)}", "--top", "10", "--json"]
        found = subprocess.run(words, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
        scenes = [scene(json.loads(line)["texts"][0]) for line in found.splitlines()]
        both = [(things.get(first), things.get(second)) for things in scenes]
        shown.append([bool(a and b and RELATIONS[relation](b[0] - a[0], b[1] - a[1])) for a, b in both])
    of_all = sum(map(sum, shown)) / sum(map(len, shown))
    print(f"{len(shown)} sentences: the first scene shows what is said for {sum(ten[0] for ten in shown)}, of ten {100 * of_all:.0f}% do, "
          f"and one at least for {sum(map(any, shown))}")


if __name__ == "__main__":
    main()
