#!/usr/bin/env python3
"""The texts of labelled files without their labels, to pre-train on: each a document of its own, ended by <|endoftext|>.

    python task_texts.py train.tsv train.conll train-10k.json … > tasks.txt

Takes lines `label TAB text` and `score TAB text TAB text`, CoNLL files (a word and its tag a line, an empty line after each
sentence) and SQuAD's questions. Needs nothing but Python.
"""
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


for name in sys.argv[1:]:
    for document in texts(pathlib.Path(name)):
        if document.strip():
            sys.stdout.write(document + "<|endoftext|>")
