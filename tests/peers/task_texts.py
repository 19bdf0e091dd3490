#!/usr/bin/env python3
"""The texts of labelled files without their labels, to pre-train on: each a document of its own, ended by <|endoftext|>.

    python task_texts.py train.tsv train.conll train-10k.json … --without test.tsv test.conll … > tasks.txt

A text that stands in one of the files after `--without` as well, but for case and spaces, is left out: what is tested on is not
to be learned from, and data sets that are in use have some texts on both sides. How many were left out is said on standard
error. Takes lines `label TAB text` and `score TAB text TAB text`, CoNLL files (a word and its tag a line, an empty line after each
sentence) and SQuAD's questions. Needs nothing but Python.
"""
import argparse
import json
import pathlib
import sys


def texts(path):
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        paragraphs = [p for article in json.loads(text)["data"] for p in article["paragraphs"]]
        return [q["question"].strip() for p in paragraphs for q in p["qas"]]
    if path.suffix == ".tsv":
        return [part for line in text.splitlines() for part in line.split("\t")[1:3]]
    sentences = [[]]
    for line in text.splitlines():
        if line.strip():
            sentences[-1].append(line.split()[0])
        else:
            sentences.append([])
    return [" ".join(words) for words in sentences]


def plain(text):
    return " ".join(text.lower().split())


arguments = argparse.ArgumentParser()
arguments.add_argument("files", nargs="+", type=pathlib.Path)
arguments.add_argument("--without", nargs="*", default=[], type=pathlib.Path)
arguments = arguments.parse_args()
tested = {plain(text) for path in arguments.without for text in texts(path)}
left_out = 0
for path in arguments.files:
    for document in filter(str.strip, texts(path)):
        if plain(document) in tested:
            left_out += 1
        else:
            sys.stdout.write(document + "<|endoftext|>")
print(f"{left_out} texts left out, which are tested on", file=sys.stderr)
