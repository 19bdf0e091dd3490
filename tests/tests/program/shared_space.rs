//! What a CLIP is good for, end to end: pictures are named, found, and learned from; without a file, and from files.

use std::fs;
use std::path::{Path, PathBuf};

use tests::{fails, file, run, said, succeeds};

use super::{TINY_CLIP, train};

/// A small CLIP in a directory of its own, hardly trained.
fn clip(directory: &Path) -> String {
    let out = directory.join("clip");
    let output = run(train(&out, &[TINY_CLIP, &["--steps", "2"]].concat()));
    assert!(output.status.success(), "{}", said(&output));
    out.to_str().unwrap().to_owned()
}

/// A picture of the fixtures.
fn picture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/pictures").join(name)
}

/// A folder with pictures of two kinds, a text file that says it is one, and a table of them.
fn set(directory: &Path) -> (PathBuf, String) {
    let folder = directory.join("set");
    fs::create_dir(&folder).unwrap();
    let mut table = String::from("path\tlabel\tsaid\tsplit\n");
    for (i, from) in ["rgb.png", "palette.png", "baseline.jpg", "grey.jpg", "lossy.webp", "grey.png"].iter().enumerate()
    {
        let name = format!("{i}-{from}");
        fs::copy(picture(from), folder.join(&name)).unwrap();
        let (label, split) = (["cat", "dog"][i % 2], ["train", "test"][usize::from(i > 3)]);
        table += &format!("{name}\t{label}\tpicture {i} of a {label}\t{split}\n");
    }
    fs::write(folder.join("broken.png"), "no picture").unwrap();
    table += "broken.png\tcat\tsomething broken\ttrain\n";
    fs::write(folder.join("all.tsv"), table).unwrap();
    let table = folder.join("all.tsv").to_str().unwrap().to_owned();
    (folder, table)
}

#[test]
fn the_built_in_world_serves_every_command_without_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let (here, model) = (directory.path(), &clip(directory.path())[..]);
    succeeds(["classify", model], &["never shown in training", "1024", "1120", "top-5", "taken for another"]);
    let said = succeeds(["classify", model, "--json"], &["\"unseen\":{\"pictures\":1024,\"top_1\":"]);
    assert!(said.contains("\"seen\":{\"pictures\":1120"), "{said}");
    succeeds(["embed", model, "--retrieval"], &["\"image_to_text\":{\"queries\":1000", "\"median_rank\":"]);
    let page = here.join("found.html");
    let page = page.to_str().unwrap();
    let query = "a small red ball left of a <blue> box";
    let search = ["search", model, query, "--html", page, "--top", "7"];
    let said = succeeds(search, &["scene ", "the page is"]);
    assert_eq!(said.lines().filter(|line| line.contains("\tscene ")).count(), 7, "{said}");
    let html = fs::read_to_string(page).unwrap();
    assert_eq!(html.matches("src=\"data:image/png;base64,").count(), 7);
    assert!(html.contains("left of a &lt;blue&gt; box</h1>") && !html.contains("http"), "{}", &html[..3000]);
    fails(search, 1, &["found.html", "is there already"]);
    assert_eq!(fs::read_to_string(page).unwrap(), html);
    let rgb = picture("rgb.png");
    let said = succeeds(["search", model, rgb.to_str().unwrap(), "--texts", "--json", "--top", "2"], &["\"texts\":["]);
    assert_eq!(said.matches("\"rank\":").count(), 2, "{said}");
    let svg = here.join("curve.svg");
    let svg = svg.to_str().unwrap();
    let curve = ["curve", model, "classify", "--most", "2", "--seeds", "2", "--svg", svg];
    succeeds(curve, &["raw pixels", "from scratch", "labels of each class", "accuracy on test pictures"]);
    assert!(fs::read_to_string(svg).unwrap().contains("raw pixels"));
}

#[test]
fn pictures_of_ones_own_are_named_and_what_is_no_picture_is_said_when_the_others_are_done() {
    let directory = tempfile::tempdir().unwrap();
    let (here, model) = (directory.path(), &clip(directory.path())[..]);
    let [rgb, grey] = ["rgb.png", "grey.jpg"].map(|name| picture(name).to_str().unwrap().to_owned());
    let labels = file(here, "labels.txt", "a cat\n\na dog\na house\n");
    let named = ["classify", model, &rgb, &grey, "--labels", &labels];
    let said = succeeds([&named[..], &["--template", "a picture of {}", "{}"]].concat(), &["%", "rgb.png", "grey.jpg"]);
    assert_eq!(said.lines().nth(1).unwrap().matches('%').count(), 3, "{said}");
    succeeds([&named[..], &["--top", "1", "--json"]].concat(), &["{\"image\":", "\"labels\":[{\"label\":\"a "]);
    succeeds(["classify", model, &rgb], &["the names are the 64 of the built-in world"]);
    fails(
        ["classify", model, &rgb, "--template", "a {}"],
        2,
        &["--labels FILE", "--template is for labels of your own"],
    );
    for (only, said) in
        [(&["--top", "3"][..], "leave it out"), (&["--ground", "0", "0", "0"], "--ground is for tables")]
    {
        fails([&["classify", model][..], only].concat(), 2, &[said]);
    }
    fails(["search", model, "a red ball", "--ground", "0", "0", "0"], 2, &["--ground is for tables"]);
    // Where no run tells what was learned, the world's names are not taken for granted.
    let (copied, best) = (here.join("copied"), Path::new(model).join("best"));
    fs::create_dir(&copied).unwrap();
    for entry in fs::read_dir(model).unwrap().map(|entry| entry.unwrap()) {
        if entry.file_name() != "train.toml" && entry.path().is_file() {
            fs::copy(entry.path(), copied.join(entry.file_name())).unwrap();
        }
    }
    fails(["classify", copied.to_str().unwrap(), &rgb], 2, &["name the labels with --labels"]);
    let _ = fs::remove_dir_all(&best);
    fs::rename(&copied, &best).unwrap();
    succeeds(["classify", best.to_str().unwrap(), &rgb], &["the names are the 64 of the built-in world"]);
    let text = file(here, "text.png", "not a picture");
    let more = ["classify", model, &rgb, &text, "nowhere.png", "--labels", &labels];
    fails(
        more,
        1,
        &["%\t", "text.png: it is text", "nowhere.png: cannot read it", "2 of 3 pictures could not be read"],
    );
    fails(["classify", model, "nowhere.png", "--labels", &labels], 1, &["nowhere.png", "check the path"]);
    fails(["classify", model, here.to_str().unwrap(), "--labels", &labels], 1, &["is a folder"]);
    let one = file(here, "one.txt", "a cat\n");
    fails(["classify", model, &rgb, "--labels", &one], 1, &["one.txt", "one label only, \"a cat\""]);
    let twice = file(here, "twice.txt", "a cat\na dog\n\na cat\n");
    fails(["classify", model, &rgb, "--labels", &twice], 1, &["twice.txt: line 4 has the label \"a cat\" of line 1"]);
    fails(["classify", model, "", "--labels", &labels], 2, &["no picture is named"]);
    let none = file(here, "none.txt", "\n\n");
    fails(["classify", model, &rgb, "--labels", &none], 1, &["none.txt", "has no label"]);
    fails([&named[..], &["--template", "a picture"]].concat(), 2, &["no place for a label"]);
    fails(["embed", model, "a text", &text], 1, &["\"vector\":[", "text.png", "1 of 2"]);
    fails(["embed", model, "a text", "--pooling", "mean"], 2, &["--pooling is for models of text"]);
}

#[test]
fn a_set_of_pictures_is_named_found_and_learned_from() {
    let directory = tempfile::tempdir().unwrap();
    let (here, model) = (directory.path(), &clip(directory.path())[..]);
    let (folder, table) = set(here);
    let svg = here.join("confusion.svg");
    let svg = svg.to_str().unwrap();
    let said = ["broken.png: it is text", "6 ", "named among 2 labels"];
    succeeds(["classify", model, "--data", &table, "--svg", svg], &said);
    assert!(fs::read_to_string(svg).unwrap().contains("for dog"));
    fails(["classify", model, "--data", &table, "--svg", svg], 1, &["is there already"]);
    succeeds(
        ["classify", model, "--data", &table, "--where", "split=test", "--json"],
        &["\"labels\":2,\"left_out\":0,\"pictures\":2"],
    );
    let more = fs::read_to_string(&table).unwrap() + "gone.png\tcat\tsomething gone\ttest\n";
    let some = file(&folder, "some.tsv", &more);
    succeeds(["classify", model, "--data", &some, "--json"], &["gone.png in line", "\"left_out\":2,\"pictures\":6"]);
    let worded = ["classify", model, "--data", &table, "--captions", "{said}"];
    fails(worded, 2, &["unexpected argument '--captions'"]);
    let labels = file(here, "labels.txt", "cat\nbird\n");
    fails(["classify", model, "--data", &table, "--labels", &labels], 2, &["class \"dog\"", "none of the 2 labels"]);
    fails(["classify", model, "--data", &table, "--where", "label=cat"], 2, &["one label only, \"cat\""]);
    let retrieval = ["embed", model, "--retrieval", &table, "--captions", "{said}", "{label}"];
    succeeds(
        retrieval,
        &["left out: ", "\"image_to_text\":{\"queries\":6,\"candidates\":8", "\"queries\":8,\"candidates\":6"],
    );

    let captions = ["--captions", "{said}"];
    let embed = [&["embed", model, "--data", &table][..], &captions].concat();
    succeeds(&embed, &["the index of 6 pictures and 6 texts is made"]);
    let nowhere = [&embed[..], &["--index", "nowhere/x.idx"]].concat();
    fails(&nowhere, 1, &["nowhere/x.idx", "cannot write it (No such file or directory (os error 2)): check the path"]);
    fails([&embed[..], &["--retrieval", &table]].concat(), 2, &["both name pictures"]);
    succeeds(&embed, &["was there already", "broken.png: it is text"]);
    let index = folder.join("all.tsv.index.safetensors");
    assert!(index.exists());
    let search = [&["search", model, "picture 3 of a dog", "--in", &table, "--top", "1"][..], &captions].concat();
    let kept = fs::read(&index).unwrap();
    succeeds([&search[..], &["--texts"]].concat(), &["1.000\t", "3-grey.jpg\tpicture 3 of a dog"]);
    assert_eq!(fs::read(&index).unwrap(), kept, "an index that is right is used as it is");
    let own = folder.join("2-baseline.jpg");
    succeeds(["search", model, own.to_str().unwrap(), "--in", &table, "--top", "1"], &["1.000\t", "2-baseline.jpg"]);
    let other = fs::read(&index).unwrap();
    assert_ne!(other, kept, "other captions are another index");
    let named = [&search[..], &["--index", index.to_str().unwrap()]].concat();
    fails(&named, 1, &["holds the vectors of other pictures", "--index"]);
    assert_eq!(fs::read(&index).unwrap(), other, "a named index is not made anew");
    fs::write(&index, "somebody's notes").unwrap();
    fails(&search, 1, &["is no index of pictures", "--index"]);
    fails(&embed, 1, &["is no index of pictures", "--index"]);
    assert_eq!(fs::read(&index).unwrap(), b"somebody's notes");
    // Of pictures nothing need be said to find them by a text, but to measure anything by what is said.
    let bare = folder.join("bare");
    fs::create_dir(&bare).unwrap();
    fs::copy(&own, bare.join("some.jpg")).unwrap();
    fs::copy(picture("rgb.png"), bare.join("other.png")).unwrap();
    let paths = file(&bare, "paths.tsv", "path\nsome.jpg\nother.png\n");
    let some = file(&bare, "some.tsv", "path\tcaption\nsome.jpg\ta cat\nother.png\t\n");
    for among in [bare.to_str().unwrap(), &paths, &some] {
        succeeds(["search", model, "a cat", "--in", among], &["some.jpg", "other.png"]);
        fails(["classify", model, "--data", among], 2, &["no picture of --data has a class"]);
    }
    succeeds(["embed", model, "--retrieval", &some], &["1 picture without a caption left out", "\"queries\":1"]);
    fails(["embed", model, "--retrieval", &paths], 1, &["no picture with a caption"]);
    fails(
        ["train", "clip", "--data", bare.to_str().unwrap(), "--steps", "1"],
        1,
        &["none of its 2 pictures has a caption"],
    );
    let lines = file(here, "lines.txt", "a cat\n\na dog\n");
    succeeds(["search", model, own.to_str().unwrap(), "--in", &lines], &["line 1\ta cat", "line 3\ta dog"]);
    succeeds(["search", model, "a cat", "--in", &lines], &["1 empty line passed over: line 2 of lines.txt"]);
    fails(["search", model, "a cat", "--in", &lines, &table], 2, &["is a file of lines", "another path"]);
    fails(["search", model, "a cat", "--in", &lines, "--where", "a=b"], 2, &["is a file of lines", "--where"]);
    fails(["search", model, "nowhere.tif", "--in", &table], 1, &["nowhere.tif"]);
    fails(["embed", model, "a cat", "--index", "x"], 2, &["--index is where the vectors of --data go"]);
    let named = here.join("named");
    let embed = ["embed", model, "--index", named.to_str().unwrap(), "--data"];
    succeeds([&embed[..], &[bare.to_str().unwrap()]].concat(), &["2 pictures and 0 texts is made"]);
    fails([&embed[..], &[&some]].concat(), 1, &["holds the vectors of other pictures"]);

    let svg = here.join("curve.svg");
    let curve = ["curve", model, "classify", "--data", &table, "--test-data", &table, "--seeds", "1"];
    let shared = "5 of 5 pictures to validate or test on are learned from as well";
    let drawn = ["--where", "split=train", "--svg", svg.to_str().unwrap()];
    succeeds([&curve[..], &drawn].concat(), &["left out: ", shared, "raw pixels", "2       4"]);
    fails([&curve[..], &["--where", "label=dog"]].concat(), 2, &["of one class, \"dog\""]);
    fails(["search", model, "a cat", "--in", "nowhere.tsv"], 1, &["nowhere.tsv"]);
    fails(["classify", model, "--data", &table, "--class-column", "kind"], 1, &["no column \"kind\""]);
}

#[test]
fn what_is_for_texts_and_what_is_for_pictures_is_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let (here, clip) = (directory.path(), &clip(directory.path())[..]);
    let bert = here.join("bert");
    let output = run(train(&bert, &["bert", "--steps", "2"]));
    assert!(output.status.success(), "{}", said(&output));
    let bert = bert.to_str().unwrap();
    for command in [
        &["fill", clip, "a [MASK]"][..],
        &["generate", clip, "a"],
        &["finetune", clip, "classify"],
        &["tag", clip, "a"],
        &["answer", clip, "a?", "b"],
        &["curve", clip, "tag"],
    ] {
        fails(command, 1, &["is a CLIP"]);
    }
    fails(["embed", clip, "--pairs"], 2, &["is a CLIP", "--pairs is for models of text"]);
    for command in [
        &["classify", bert, "--data", "x.tsv"][..],
        &["classify", bert, "a.png", "--labels", "x.txt"],
        &["search", bert, "a", "--html", "x.html"],
        &["search", bert, "a", "--where", "a=b"],
        &["embed", bert, "--data", "x.tsv"],
        &["curve", bert, "classify", "--class-column", "x"],
    ] {
        fails(command, 2, &["is a model of text", "is for pictures"]);
    }
}
