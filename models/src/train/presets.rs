//! Presets: sizes and recipes that were found to work, by name. What a user says is laid over them.

/// A preset is a name, what it is for, and its options.
pub struct Preset {
    /// What `--preset` takes.
    pub name: &'static str,
    /// One line for the help.
    pub about: &'static str,
    /// Its options, as TOML.
    pub(super) options: &'static str,
}

/// GPT's presets; the first is the default.
pub const PRESETS: &[Preset] = &[
    Preset {
        name: "nano",
        about: "learns the built-in world in minutes (0.7M parameters)",
        // At width 128 GPT-2's deviation of 0.02 makes attention so even that copying from the story is learned late;
        // with 0.1, about 1/√width, and one head of all 128 columns it is learned within some hundred steps.
        options: "layers = 3\nheads = 1\nwidth = 128\nblock_size = 128\nvocab_size = 720\nbatch_size = 24\nsteps = 2000\n\
                  optimizer = \"muon\"\nlr = 4e-3\nmuon_lr = 1.5e-2\nmuon_momentum = 0.9\nmin_lr = 0.0\n\
                  schedule = \"warmup-stable-decay\"\ndecay_share = 0.6\nbeta2 = 0.99\nweight_decay = 0.01\n\
                  initializer_range = 0.1",
    },
    Preset {
        name: "char",
        about: "nanoGPT's recipe for Shakespeare on a processor, bytes as tokens (0.8M parameters)",
        options: "layers = 4\nheads = 4\nwidth = 128\nblock_size = 64\nvocab_size = 256\nbatch_size = 12\nsteps = 2000\n\
                  lr = 1e-3\nwarmup = 100\nbeta2 = 0.99",
    },
    Preset {
        name: "char-fast",
        about: "char's loss with an eighth of its work: Muon, one layer (0.2M parameters)",
        // The least work to 1.886 nats a byte: more layers need fewer steps, but each costs more than that gains. So short
        // a run wants high rates that fall for half of it, a short memory and no decay. It evaluates at the end only.
        options: "layers = 1\nheads = 4\nwidth = 128\nblock_size = 64\nvocab_size = 256\nbatch_size = 24\nsteps = 320\n\
                  optimizer = \"muon\"\nlr = 1.5e-2\nmuon_lr = 3e-2\nmuon_momentum = 0.85\nmin_lr = 0.0\n\
                  schedule = \"warmup-stable-decay\"\ndecay_share = 0.5\nbeta2 = 0.99\nweight_decay = 0.0\n\
                  initializer_range = 0.05\neval_every = 320",
    },
    Preset {
        name: "char-best",
        about: "Shakespeare as well as a megabyte of it teaches, in half an hour (5M parameters)",
        // Twenty passes over the text: Muon gets there soonest, dropout and decay keep it from learning by heart, and more
        // than half of the gain comes while the rates fall. Small steps of 4,096 tokens use the text better than large ones.
        options: "layers = 4\nheads = 5\nwidth = 320\nblock_size = 256\nvocab_size = 256\nbatch_size = 16\nsteps = 5200\n\
                  optimizer = \"muon\"\nlr = 2e-3\nmuon_lr = 2e-2\nmin_lr = 0.0\nschedule = \"warmup-stable-decay\"\n\
                  decay_share = 0.6\nbeta2 = 0.99\nweight_decay = 0.1\ndropout = 0.2\ninitializer_range = 0.05\n\
                  precision = \"bf16\"",
    },
    Preset {
        name: "mini",
        about: "a first real language model in an hour (14M parameters)",
        options: "layers = 6\nheads = 6\nwidth = 384\nblock_size = 256\nvocab_size = 8192\nbatch_size = 8\nsteps = 4000\n\
                  lr = 1e-3\nwarmup = 100\nbeta2 = 0.99",
    },
    Preset {
        name: "gpt2",
        about: "GPT-2's smallest size (124M parameters)",
        options: "layers = 12\nheads = 12\nwidth = 768\nblock_size = 1024\nvocab_size = 50257\nbatch_size = 32\n\
                  micro_batch = 2\nsteps = 20000\nlr = 6e-4\nwarmup = 700\nbeta2 = 0.95",
    },
];

/// The preset that `--objective simcse` asks for.
pub(super) const SIMCSE: &str = "simcse";

/// BERT's presets; the first is the default.
pub const BERT_PRESETS: &[Preset] = &[
    Preset {
        name: "nano",
        about: "learns the built-in world in minutes",
        // Twice as many hidden as usual: a step teaches more, and the unigram level is left sooner.
        options: "layers = 3\nheads = 2\nwidth = 128\nblock_size = 128\nvocab_size = 720\nbatch_size = 24\nsteps = 3000\n\
                  optimizer = \"muon\"\nlr = 4e-3\nmuon_lr = 1.5e-2\nmuon_momentum = 0.9\nmin_lr = 0.0\n\
                  schedule = \"warmup-stable-decay\"\ndecay_share = 0.6\nbeta2 = 0.99\nweight_decay = 0.01\n\
                  initializer_range = 0.1\nmask_share = 0.3",
    },
    Preset {
        name: "mini",
        about: "a first encoder of real text in an hour",
        options: "layers = 4\nheads = 4\nwidth = 256\nblock_size = 128\nvocab_size = 8192\nbatch_size = 32\nsteps = 8000\n\
                  optimizer = \"muon\"\nlr = 3e-3\nmuon_lr = 2e-2\nmin_lr = 0.0\nschedule = \"warmup-stable-decay\"\n\
                  decay_share = 0.5\nbeta2 = 0.98\nweight_decay = 0.01\nprecision = \"bf16\"\ninitializer_range = 0.05\n\
                  mask_share = 0.2",
    },
    Preset {
        name: "small",
        about: "half of BERT's depth and two thirds of its width",
        options: "layers = 6\nheads = 8\nwidth = 512\nblock_size = 256\nvocab_size = 16384\nbatch_size = 32\n\
                  micro_batch = 8\nsteps = 20000\noptimizer = \"muon\"\nlr = 1e-3\nmuon_lr = 2e-2\nwarmup = 200\n\
                  beta2 = 0.98\nweight_decay = 0.01\nprecision = \"bf16\"",
    },
    Preset {
        name: "base",
        about: "BERT's smaller size, as published",
        options: "layers = 12\nheads = 12\nwidth = 768\nblock_size = 512\nvocab_size = 30522\nbatch_size = 256\n\
                  micro_batch = 4\nsteps = 1000000\nlr = 1e-4\nwarmup = 10000\nbeta2 = 0.999\nweight_decay = 0.01\n\
                  dropout = 0.1\nnorm = \"post\"",
    },
    Preset {
        name: SIMCSE,
        about: "goes on from a trained BERT, so that like sentences lie together; its sizes are that one's",
        // Small steps: what the model has learned is to be turned, not unlearned (5e-4 did better than 2e-4 for a model of
        // 1M parameters; large ones want less). AdamW, since Muon's steps are all of one length however little there is to
        // change.
        options: "objective = \"simcse\"\nbatch_size = 64\nsteps = 300\nlr = 5e-4\nmin_lr = 0.0\nwarmup = 30\n\
                  beta2 = 0.98\nweight_decay = 0.01",
    },
];

/// CLIP's presets; the first is the default.
pub const CLIP_PRESETS: &[Preset] = &[
    Preset {
        name: "nano",
        about: "learns to name and to find the built-in world's pictures in minutes",
        // Many to tell apart in a step, since pictures differ in one thing often only. A patch is one of the table's nine
        // fields: it shows a whole object, or none.
        options: "layers = 2\nheads = 2\nwidth = 128\nblock_size = 32\nvocab_size = 384\nbatch_size = 256\nsteps = 2400\n\
                  optimizer = \"muon\"\nlr = 2e-3\nmuon_lr = 1e-2\nmin_lr = 0.0\nschedule = \"warmup-stable-decay\"\n\
                  decay_share = 0.6\nbeta2 = 0.98\nweight_decay = 0.1\nwarmup = 50\nprecision = \"bf16\"\n[clip]\nimage_size = 48\n\
                  patch_size = 16\nvision_layers = 3\nvision_heads = 2\nvision_width = 128\nembed_dim = 128",
    },
    Preset {
        name: "mini",
        about: "a first model of real pictures in twenty minutes (2.4M parameters)",
        // What there is to learn is in the pictures; names are short, and a small encoder reads them. Some thousand pictures
        // are seen a hundred times, so each visit shows another part of one, in other colours. There is no dropout: a run of
        // minutes ends before it would be worth what it costs (emoji, a style never seen, 600 steps: 43% found among five
        // without it and with crops of 0.7, 29% with 0.1 and crops of 0.4).
        options: "layers = 2\nheads = 2\nwidth = 128\nblock_size = 24\nvocab_size = 1024\nbatch_size = 256\nsteps = 1800\n\
                  optimizer = \"muon\"\nlr = 2e-3\nmuon_lr = 1e-2\nmin_lr = 0.0\nschedule = \"warmup-stable-decay\"\n\
                  decay_share = 0.6\nbeta2 = 0.98\nweight_decay = 0.1\nwarmup = 100\nprecision = \"bf16\"\n\
                  [clip]\nimage_size = 48\npatch_size = 8\nvision_layers = 4\nvision_heads = 3\nvision_width = 192\n\
                  embed_dim = 256\ncrop = 0.6\nshift = 0.05\ncolour = 0.4",
    },
    Preset {
        name: "vit-b-32",
        about: "CLIP's ViT-B/32, as published (151M parameters)",
        options: "layers = 12\nheads = 8\nwidth = 512\nblock_size = 77\nvocab_size = 49408\nbatch_size = 32768\n\
                  micro_batch = 64\nsteps = 400000\nlr = 5e-4\nwarmup = 2000\nbeta2 = 0.98\nweight_decay = 0.2\n\
                  [clip]\nimage_size = 224\npatch_size = 32\nvision_layers = 12\nvision_heads = 12\n\
                  vision_width = 768\nembed_dim = 512\ncrop = 0.9",
    },
];
