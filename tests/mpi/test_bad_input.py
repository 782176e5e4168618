"""Whatever a user gets wrong is told once, in sentences, and leaves no file behind.

Each case is one start of the command on all ranks, in this process. Settings are answered alike on
any number of ranks, so that one rank tries them; a dozen, which differ in the moment at which they
are found or in what they say, have other numbers of ranks too.
"""

import builtins
import gzip
import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from mpidl.ranks import accelerators, world
from mpidl.run import command

pytestmark = pytest.mark.dealt

HUGE = 10**12

WALLTIME = "must be HH:MM:SS, or a number with its unit, such as 90m, 1.5h or 5400s."

SETTINGS = [
    # What trains
    ("training.rounds=0", "training.rounds = 0: should be greater than or equal to 1."),
    ("training.rounds=-3", "training.rounds = -3: should be greater"),
    ("training.rounds=2.5", "training.rounds = 2.5: should be a valid integer."),
    ("training.rounds=true", "training.rounds = True: should be a valid integer."),
    ("training.rounds=ten", "training.rounds = 'ten': should be a valid integer."),
    ("training.rounds=", "training.rounds = '': should be a valid integer."),
    ("training.rounds=1979-05-27", "training.rounds = datetime.date(1979, 5, 27): should be"),
    (f"training.rounds={HUGE}", f"training.rounds = {HUGE}: should be less than or equal to"),
    ("training.rounds=1" + "0" * 5000, "training.rounds = '1000"),
    ("training.rounds=0x" + "f" * 5000, "training.rounds = a number of thousands of digits: "),
    ("training.rounds=5\n[training]", r"training.rounds = '5\n[training]': should be"),
    ("training.epochs=0", "training.epochs = 0: should be"),
    ("training.steps=0", "training.steps = 0: should be"),
    ("training.batch_size=0", "training.batch_size = 0: should be"),
    ("training.batch_size=[32]", "training.batch_size = [32]: should be a valid integer."),
    ("training.optimizer=lion", "training.optimizer = 'lion': must be 'sgd', 'adam', 'adamw', or"),
    ("training.optimizer=torch.nn:Linear", "must be a class derived from torch.optim.Optimizer."),
    ("training.optimizer=torch.optim:SGD training.batched=yes", "train one after another;"),
    ("training.lr=0", "training.lr = 0: should be greater than 0."),
    ("training.lr=-0.1", "training.lr = -0.1: should be greater than 0."),
    ("training.lr=nan", "training.lr = nan: should be a finite number."),
    ("training.lr=1e999", "training.lr = inf: should be a finite number."),
    ("training.lr=fast", "training.lr = 'fast': should be a valid number."),
    ("training.lr=1" + "0" * 400, "training.lr = 1000"),
    ("training.momentum=1.0", "training.momentum = 1.0: should be less than 1."),
    ("training.momentum=nan", "training.momentum = nan: should be a finite number."),
    ("training.weight_decay=-1", "training.weight_decay = -1: should be"),
    ("training.betas=[0.9]", "training.betas = [0.9]: must be two numbers from 0 to below 1."),
    ("training.betas=[0.9,1.0]", "training.betas = [0.9, 1.0]: must be two numbers"),
    ("training.betas=0.9", "training.betas = 0.9: must be two numbers from 0 to below 1."),
    ("training.optimizer_state=lost", "'lost': should be 'kept' or 'reset'."),
    ("training.proximal=-1", "training.proximal = -1: should be"),
    ("training.participation=0", "training.participation = 0: should be greater than 0."),
    ("training.participation=1.5", "training.participation = 1.5: should be less"),
    ("training.seed=-1", "training.seed = -1: should be"),
    (f"training.seed={2**63}", f"training.seed = {2**63}: should be less than {2**63}."),
    ("training.init=zero", "'zero': should be 'common' or 'per_device'."),
    ("training.order=sorted", "'sorted': should be 'shuffled' or 'fixed'."),
    ("training.precision=float16", "'float16': should be 'float32', 'tf32' or 'bfloat16'."),
    ("training.accelerator=tpu", "'tpu': should be 'auto', 'cpu', 'cuda' or 'xpu'."),
    ("training.threads=0", "training.threads = 0: must be a number from 1 to 1024, or 'auto'"),
    ("training.threads=100000", "training.threads = 100000: must be a number from 1 to 1024,"),
    ("training.epoch=3", "Unknown setting training.epoch; did you mean 'epochs'?"),
    ("training=5", "training = 5: must be a table, written [training]."),
    # The graph
    ("topology.name=rign", "topology.name = 'rign': unknown topology; did you mean 'ring'?"),
    ("topology.name=5", "topology.name = 5: should be a valid string."),
    ("topology.devices=0", "topology.devices = 0: should be"),
    ("topology.devices=1.5", "topology.devices = 1.5: should be a valid integer."),
    ("topology.devices=²", "topology.devices = '²': should be a valid integer."),
    (f"topology.devices={HUGE}", f"topology.devices = {HUGE}: must be from 1 to 100,000."),
    ("topology.devices=0x" + "f" * 5000, "topology.devices = a number of thousands of digits: "),
    ("topology.seed=x", "topology.seed = 'x': should be a valid integer."),
    ("topology.link_probability=0", "topology.link_probability = 0: should be greater than 0."),
    ("topology.link_probability=nan", "topology.link_probability = nan: should be a finite"),
    ("topology.name=hypercube topology.devices=6", "needs a power of two, such as 4 or 8."),
    ("topology.name=torus topology.devices=6 topology.rows=4", "topology.rows = 4: must divide"),
    ("topology.name=barabasi_albert topology.devices=8 topology.m=8", "topology.m = 8: must be be"),
    ("topology.name=watts_strogatz topology.k=3", "topology.k = 3: should be a multiple of 2."),
    ("topology.name=watts_strogatz topology.devices=8 topology.k=8", "topology.k = 8: must be be"),
    ("topology.name=random_regular topology.devices=7", "topology.degree = 3: must be even"),
    (
        "topology.name=stochastic_block_model topology.devices=8 topology.blocks=9",
        "topology.blocks = 9: must be at most the number of devices, 8.",
    ),
    (
        "topology.name=stochastic_block_model topology.devices=9 topology.between=0",
        "falls apart into 6 components that cannot all reach each other: take a larger",
    ),
    (
        "topology.name=erdos_renyi topology.devices=20 topology.probability=0.001",
        "The erdos_renyi graph with topology.seed = 0 falls apart into 20 components",
    ),
    (
        "topology.name=random_geometric topology.devices=20 topology.radius=2",
        "topology.radius = 2: should be less than or equal to 1.5.",
    ),
    ("topology.name=complete topology.devices=100000", "at most 10,000,000 are allowed."),
    ("topology.file=1.5", "topology.file = 1.5: should be a valid string."),
    ("topology.file={dir}/none.txt", "Cannot read the graph file {dir}/none.txt: No such file"),
    ("topology.file={dir}", "Graph file {dir}: is not a regular file."),
    # How neighbors weigh
    ("strategy.name=degre", "strategy.name = 'degre': unknown strategy; did you mean 'degree'?"),
    ("strategy.temperature=0", "strategy.temperature = 0: must not be zero."),
    ("strategy.temperature=nan", "strategy.temperature = nan: should be a finite number."),
    ("strategy.temperature=-inf", "strategy.temperature = -inf: should be a finite number."),
    ("strategy.temperature=cold", "strategy.temperature = 'cold': should be a valid number."),
    ("strategy.normalize=max", "'max': should be 'softmax' or 'plain'."),
    ("strategy.draw=frozen", "Unknown setting strategy.draw; known: name, normalize, temperature."),
    (
        "strategy.name=federated topology.name=ring topology.devices=4000",
        "strategy.name = 'federated': links all devices to all, and 4000 devices have more",
    ),
    ("schedule.name=linear", "schedule.name = 'linear': unknown schedule; "),
    ("schedule.name=exponential schedule.gamma=1.5", "schedule.gamma = 1.5: should be less"),
    ("schedule.name=cosine schedule.period=0", "schedule.period = 0: should be"),
    ("strategy.name=krum strategy.liars=-1", "strategy.liars = -1: should be greater than or"),
    ("strategy.name=clipped_gossip strategy.radius=0", "strategy.radius = 0: should be greater"),
    (
        "strategy.name=median exchange.mixing=sequential",
        "those of strategy.name = 'median' follow from the vectors that arrive;",
    ),
    # The learning rate
    ("lr_schedule.name=cosin", "unknown learning-rate schedule; did you mean 'cosine'?"),
    ("lr_schedule.name=cosine lr_schedule.floor=2", "lr_schedule.floor = 2: should be less than"),
    ("lr_schedule.name=warmup lr_schedule.rounds=9", "Unknown setting lr_schedule.rounds; known:"),
    (
        "lr_schedule.name=cosine lr_schedule.warmup=10",
        "lr_schedule.warmup = 10: must be less than the 10 rounds of the schedule.",
    ),
    ("record.log=[tensorbord]", "record.log = '[tensorbord]': must be a list of names of loggers."),
    (
        'record.log=["board"]',
        "record.log = ['board']: 'board' is no logger; did you mean 'tensorboard'? One of "
        "your own is named 'file.py:function' or 'module:function'.",
    ),
    ('record.log=["wandb","wandb"]', "must name each logger once."),
    # The network and its attackers
    ("network.latency=-1", "network.latency = -1: should be greater than or equal to 0."),
    ("network.bandwidth=0", "network.bandwidth = 0: should be greater than 0."),
    ("network.slowdown=0.5", "network.slowdown = 0.5: should be greater than or equal to 1."),
    ("network.delay=-1", "network.delay = -1: must be rounds from 0 to 1000, or [lowest, highest]"),
    ("network.delay=[3,1]", "network.delay = [3, 1]: must be rounds from 0 to 1000, or [lowest"),
    ("network.delay=1 exchange.mixing=delayed", "network.delay = 1: needs exchange.mixing"),
    ("network.outages=[[0,5,2]]", "must list [device, first round away, first round back] in asc"),
    ("topology.devices=8 network.outages=[[8,1,2]]", "must name devices of the graph, 0 to 7."),
    ("topology.devices=8 network.stragglers=9", "network.stragglers = 9: must be a device of the"),
    ("network.stragglers=random:200%", "network.stragglers = 'random:200%': must be a device num"),
    ("network.leave=2", "network.leave = 2: should be less than or equal to 1."),
    (
        "network.latency=1 exchange.mixing=sequential",
        "exchange.mixing = 'sequential': has no clock",
    ),
    (
        "attack.name=sing_flip",
        "attack.name = 'sing_flip': unknown attack; did you mean 'sign_flip'",
    ),
    ("attack.name=noise attack.strength=0", "attack.strength = 0: should be greater than 0."),
    ("attack.name=noise attack.devices=[]", "attack.devices = []: must name at least one device."),
    ("attack.name=noise attack.devices=99", "attack.devices = 99: must be a device of the graph,"),
    ("attack.strength=2", "Unknown setting attack.strength; known: devices, from_round, name."),
    ("attack.name=noise exchange.mixing=delayed", "attack.name = 'noise': needs exchange.mixing"),
    ("algorithm.name=choco network.delay=1", "algorithm.name = 'choco': needs every message to"),
    ("algorithm.name=choco network.leave=0.1", "algorithm.name = 'choco': needs every message to"),
    ("algorithm.name=choco attack.name=noise", "algorithm.name = 'choco': sends no models, of"),
    # Data, and where they are
    ("data.name=minst", "data.name = 'minst': unknown data set; did you mean 'mnist'?"),
    ("data.name=mnist", "data.dir must be set: mnist is read from train-images-idx3-ubyte.gz"),
    ("data.name=mnist data.dir=5", "data.dir = 5: should be a valid string."),
    (
        "data.name=mnist data.dir={dir}/none",
        "mnist needs the file {dir}/none/train-images-idx3-ubyte.gz (or",
    ),
    (
        "data.name=cifar10 data.dir=~nobody_here",
        "cifar10 needs the file ~nobody_here/cifar-10-batches-bin/data_batch_1.bin (or data_b",
    ),
    ("data.train_samples=0", "data.train_samples = 0: should be"),
    ("data.train_samples=1438", "data.train_samples = 1438: digits has 1437 train samples; ask"),
    ("data.test_samples=361", "data.test_samples = 361: digits has 360 test samples; ask"),
    (
        "data.train_samples=5 topology.name=ring topology.devices=6 placement.name=dirichlet",
        "5 training samples cannot be placed on 6 devices",
    ),
    (
        "topology.name=ring topology.devices=2000 placement.name=shards",
        "1437 training samples cannot be placed on 2000 devices: every device needs at least one",
    ),
    ("placement.name=idd", "placement.name = 'idd': unknown placement; did you mean 'iid'?"),
    ("placement.hosts=block", "'block': must be 'blocks', 'round_robin', or a list of the rank"),
    ("placement.hosts=[-1]", "placement.hosts = [-1]: must be 'blocks', 'round_robin', or a list"),
    (
        "topology.name=ring topology.devices=6 placement.hosts=[0,0]",
        "placement.hosts lists 2 ranks; must list 6, one for each device.",
    ),
    (
        "topology.name=ring topology.devices=6 placement.hosts=[0,0,0,0,0,{n}]",
        "placement.hosts puts device 5 on rank {n}; must be 0 to",
    ),
    ("placement.name=dirichlet placement.label_alpha=0", "placement.label_alpha = 0: should be"),
    ("placement.name=dirichlet placement.label_alpha=nan", "placement.label_alpha = nan: should"),
    ("placement.name=dirichlet placement.order=pagerank", "'pagerank': should be 'random', 'deg"),
    (
        "topology.name=ring topology.devices=6 placement.name=shards "
        "placement.classes_per_device=1",
        "placement.classes_per_device = 1 on 6 devices leaves some of 10 classes out; use 2",
    ),
    (
        "topology.name=ring topology.devices=6 placement.name=shards "
        "placement.classes_per_device=1000",
        "placement.classes_per_device = 1000 on 6 devices cuts 1437 samples into 6000; use 239",
    ),
    # Out-of-distribution data
    ("ood.name=triger", "ood.name = 'triger': unknown OOD kind; did you mean 'trigger'?"),
    ("ood.sources={n}", "ood.sources = {n}: must be a device of the graph, 0 to"),
    ("ood.sources=-1", "ood.sources = -1: must be a device of the graph"),
    ("ood.sources=1.5", "ood.sources = 1.5: must be a device number, text such as 'degree:1'"),
    ("ood.sources=[]", "ood.sources = []: must name at least one device"),
    ("ood.sources=degre:1", "ood.sources = 'degre:1': must be a device number or 'NAME:NUMBER'"),
    ("ood.sources=degree:0", "ood.sources = 'degree:0': the number must be 1 to {n}."),
    ("ood.sources=random:{n+1}", "ood.sources = 'random:{n+1}': the number must be 1 to {n}."),
    ("ood.sources=published:1", "'published:1': the graph stores no published OOD devices."),
    ("ood.proportion=0", "ood.proportion = 0: should be greater than 0."),
    ("ood.test_share=1", "ood.test_share = 1: should be less than 1."),
    ("ood.size=9", "ood.size = 9: the patch must fit into 8 x 8 pixels."),
    ("ood.position=middle", "'middle': should be 'corner' or 'random'."),
    ("ood.intensity=nan", "ood.intensity = nan: should be"),
    ("ood.name=rotation ood.degrees=181", "ood.degrees = 181: should be less than or equal to"),
    ("ood.name=held_out_class ood.held_out=10", "ood.held_out = 10: classes are 0 to 9."),
    ("ood.name=tinymem_trigger", "ood.name = 'tinymem_trigger' needs the data set tinymem."),
    ("ood.name=tinymem_trigger ood.digits=100", "ood.digits = 100: must be text of 1 to 5 digits"),
    (
        "data.name=tinymem model.name=transformer",
        "ood.name = 'trigger' needs images; this data set has sequences of",
    ),
    (
        "data.name=tinymem model.name=transformer ood.name=tinymem_trigger ood.token=14",
        "ood.token = 14: must be below 14.",
    ),
    # What learns
    ("model.name=vgg", "model.name = 'vgg': unknown model; did you mean 'vgg16'?"),
    ("model.name=vgg16", "model.name = 'vgg16': needs images of at least 32x32 pixels; the data"),
    ("model.name=transformer", "model.name = 'transformer': needs sequences of tokens, of which"),
    ("model.name=vit model.patch=3", "needs images with sides that are multiples of 3 pixels"),
    ("model.name=vit model.heads=7", "model.heads = 7: must divide model.width, which is 512."),
    ("model.name=cnn model.hidden=[4]", "Unknown setting model.hidden; known: name."),
    ("data.name=tinymem ood.name=none", "model.name = 'mlp': needs images; the data set has seq"),
    ("model.hidden=[0]", "model.hidden = [0]: must be a list of widths from 1 to 1,000,000."),
    ("model.hidden=64", "model.hidden = 64: must be a list of widths from 1 to 1,000,000."),
    ("model.hidden=[1000000000]", "model.hidden = [1000000000]: must be a list of widths"),
    ("model.hidden=" + "[" * 5000, "model.hidden = '[[[["),
    (
        "model.hidden=[1000000,1000000]",
        "model.name = 'mlp', hidden = [1000000, 1000000]: has 1,000,076,000,010 parameters",
    ),
    ("model.name=vit model.layers=1000000000", "model.layers = 1000000000: should be less"),
    # How parameters travel, what is measured and written
    ("exchange.backend=ncl", "exchange.backend = 'ncl': unknown exchange backend; did you mean"),
    ("exchange.backend=nccl", "exchange.backend = 'nccl': carries vectors in cuda memory, and"),
    ("exchange.backend=ipc", "exchange.backend = 'ipc': carries vectors in cuda memory, and here"),
    ("exchange.backend=allreduce", "strategy.name must be 'federated', not 'degree'."),
    (
        "exchange.backend=allreduce strategy.name=federated algorithm.name=choco",
        "with algorithm.name = 'choco' they take something else; 'auto' and 'mpi' work.",
    ),
    (
        "exchange.backend=allreduce strategy.name=federated training.participation=0.5",
        "with training.participation = 0.5 they take something else; 'auto' and 'mpi' work.",
    ),
    ("exchange.mixing=random", "'random': should be 'synchronous', 'sequential' or 'delayed'."),
    ("exchange.accelerator_aware=true", "exchange.accelerator_aware = True: should be 'auto',"),
    (
        "topology.name=ring topology.devices=6 exchange.sequence=[0,1,2,3,4,4]",
        "[0, 1, 2, 3, 4, 4]: must name each device from 0 to 5 once; entry 6 of 6 is 4.",
    ),
    (
        "exchange.mixing=sequential strategy.name=degree_similarity",
        "follow from the vectors that arrive; 'synchronous' and 'delayed' work.",
    ),
    (
        "exchange.mixing=sequential strategy.name=betweenness_similarity",
        "exchange.mixing = 'sequential': mixes by weights that are known before the round, and",
    ),
    (
        "exchange.backend=allreduce strategy.name=degree_similarity",
        "strategy.name must be 'federated', not 'degree_similarity'.",
    ),
    ("strategy.name=degree_similarity strategy.temperature=0", "strategy.temperature = 0: must"),
    ("strategy.name=degree_similar", "unknown strategy; did you mean 'degree_similarity'?"),
    ("exchange.sequence=[-1]", "exchange.sequence = [-1]: must be a list of all devices"),
    (
        "topology.name=ring topology.devices=3000 exchange.mixing=sequential",
        "exchange.mixing = 'sequential': takes graphs of up to 2048 devices, not 3000.",
    ),
    ("evaluation.every=0", "evaluation.every = 0: should be"),
    ("evaluation.moment=before", "'before': should be 'trained', 'mixed' or 'both'."),
    ("evaluation.batch_size=-1", "evaluation.batch_size = -1: should be"),
    ("evaluation.accuracy=rough", "'rough': should be 'exact' or 'padded'."),
    ("record.writer=parquet", "'parquet': should be 'auto', 'parallel' or 'gather'."),
    ("record.every=0", "record.every = 0: should be"),
    ("record.seconds=0", "record.seconds = 0: should be greater than 0."),
    (
        "topology.name=ring topology.devices=1400 training.rounds=1000000000",
        "Cannot write results to {dir}/out/default.h5: the file needs 3",
    ),
    ("checkpoint.minutes=-1", "checkpoint.minutes = -1: should be greater than or equal to 0."),
    ("checkpoint.keep=0", "checkpoint.keep = 0: should be greater than or equal to 1."),
    ("training.nonfinite=go", "training.nonfinite = 'go': should be 'stop' or 'continue'."),
    ("checkpoint.every=-1", "checkpoint.every = -1: should be greater than or equal to 0."),
    ("name=", "name = '': must be a file name of 1 to 200 bytes"),
    ("name=a/b", "name = 'a/b': must be a file name"),
    ("name=.hidden", "name = '.hidden': must be a file name"),
    ("name=" + "x" * 300, "name = 'xxxx"),
    # What is no setting
    ("trainning.rounds=3", "Unknown section [trainning]; did you mean 'training'?"),
    ("rounds=3", "Unknown section [rounds]; known: "),
    ("a.b.c=3", "--set 'a.b.c=3': must be section.key=value, such as training.rounds=20."),
    ("=3", "--set '=3': must be section.key=value"),
    ("training.rounds", "--set 'training.rounds': must be section.key=value"),
    ("training.lr=\udcff", r"--set 'training.lr=\udcff': must be UTF-8 text."),
]
"""Settings given with ``--set``, and part of the one sentence that they are answered with."""

COMMAND_LINES = [
    (["--bogus"], "Unrecognized arguments: --bogus; see python -m mpidl.run --help."),
    (["--set"], "Argument --set: expected one argument; see"),
    (["--check=3"], "Argument --check: ignored explicit argument '3'; see"),
    (["one.toml", "two.toml"], "Unrecognized arguments: two.toml; see"),
    (["--json"], "--json: must be given with --check or --list."),
    (["--resume", "--overwrite"], "--resume and --overwrite must not be given together"),
    (["--resume", "{dir}/run.toml"], "--resume {dir}/run.toml: must be a folder with checkpoints;"),
    (["--walltime", "soon"], f"--walltime 'soon': {WALLTIME}"),
    (["--walltime", ""], f"--walltime '': {WALLTIME}"),
    (["--walltime", "3600"], f"--walltime '3600': {WALLTIME}"),
    (["--patience", "0.1"], "--patience '0.1': must be a number of seconds, at least 0.5."),
    (["--patience", "long"], "--patience 'long': must be a number of seconds, at least 0.5."),
    (["--patience", "inf"], "--patience 'inf': must be a number of seconds, at least 0.5."),
    (["{dir}/none.toml"], "Cannot read the run file {dir}/none.toml: No such file or directory."),
    (["{dir}"], "The run file {dir} is not a regular file."),
    (["/dev/zero"], "The run file /dev/zero is not a regular file."),
    (["{dir}/" + "x" * 300], ": File name too long."),
    # What --check builds is looked at, too.
    (
        ["--check", "--set", "model.name=vgg16"],
        "model.name = 'vgg16': needs images of at least 32x",
    ),
    (["--check", "--json", "--set", "ood.size=9"], "ood.size = 9: the patch must fit into 8 x 8"),
]

RUN_FILES = [
    (b"rounds = \xff", ["The run file {dir}/bad.toml is not UTF-8 text."]),
    (b"\x00\x01\x02", ["The run file {dir}/bad.toml is not valid TOML: "]),
    (b"[training\nrounds = 3\n", ["is not valid TOML: Expected ']'"]),
    (b"[training]\nlr = 1\nlr = 2\n", ["is not valid TOML: Cannot overwrite a value (at line 3"]),
    (b"[training]\nrounds = " + b"1" * 5000, ["is not valid TOML: Exceeds the limit"]),
    (b"[model]\nhidden = " + b"[" * 5000, ["is not valid TOML: brackets are nested too deeply."]),
    (b"#" * (2**21 + 1), ["has 2,097,153 bytes; at most 2,097,152 are read."]),
    (b"[[training]]\nrounds = 3\n", ["training = [{'rounds': 3}]: must be a table, written"]),
    (b"training = 3\n", ["training = 3: must be a table, written [training]."]),
    (b"name = 5\n", ["name = 5: must be a file name of 1 to 200 bytes"]),
    (b'name = "a\\u0000b"\n', [r"name = 'a\x00b': must be a file name"]),
    (b'"tra\\nining" = 3\n', [r"Unknown section [tra\nining]; did you mean 'training'?"]),
    (b'[topology]\nfile = "a\\u0000b"\n', [r"topology.file = 'a\x00b': there is no such file"]),
    (
        b'topology.name = "star"\n[data]\nname = "mnist"\ndir = "a\\u0000b"\n',
        [r"mnist needs the file a\x00b/train-images"],
    ),
    (
        b"[trainning]\nlr = 1\n[topology]\nnmae = 'ring'\n[strategy]\nname = 'degre'\nwight = 2\n"
        b"temperature = 0\n[model]\nhidden = [0]\n",
        [
            "Unknown section [trainning]; did you mean 'training'?",
            "Unknown setting topology.nmae; did you mean 'name'?",
            "strategy.name = 'degre': unknown strategy; did you mean 'degree'?",
            "strategy.temperature = 0: must not be zero.",
            "model.hidden = [0]: must be a list of widths",
        ],
    ),
]
"""Run files, and part of each sentence that they are answered with."""

XML = '<graphml><graph edgedefault="undirected">{}</graph></graphml>'

GRAPHS = [
    ("", "Graph file {dir}/graph.txt: holds no graph."),
    ("0 1 0\n1 0 1\n0 1\n", "line 1 of the edge list has probability 0; leave the link out."),
    ("0 1 0 1\n1 0 1\n", "line 2 has 3 entries"),
    ("0 1\n1 nan\n", "line 2, column 2 has 'nan' where a probability from 0 to 1 is needed."),
    ("0 1.5\n1 0\n", "line 1, column 2 has '1.5' where a probability"),
    ("0 x\n1 0\n", "line 1, column 2 has 'x' where a probability"),
    ("1 1\n1 0\n", "line 1 links device 0 to itself; write 0."),
    ("0 1 0\n1 0 0\n0 0 0\n", "The graph of {dir}/graph.txt falls apart into 2 components"),
    ("0 1\n0 0\n", "falls apart into 2 components that cannot all reach each other: link them"),
    ("# devices: 0\n", "'0' where a whole number from 1 to 100000 is needed."),
    ("# devices: 3\n0 3\n", "line 2 of the edge list has '3' where a whole number from 0 to 2"),
    (f"# directed\n0 {HUGE}\n", f"has '{HUGE}' where a whole number from 0 to 99999 is needed."),
    ("# devices: 3\n0 1\n1 0\n", "falls apart into 2 components"),
    ("# published ood ranks: 7\n0 1\n1 0\n", "'7' where a whole number from 0 to 1 is needed."),
    ("<graphml>", "is not valid XML: no element found: line 1, column 9."),
    ("<!DOCTYPE lol><graphml/>", "XML with a document type is refused."),
    (XML.format(""), "holds no graph."),
    (XML.format('<node id="a"/><edge source="a" target="a"/>'), "links device 0 to itself;"),
    ("\ufffe\x00", "line 1, column 1 has "),
]
"""Graph files, and part of the one sentence that they are answered with."""


ON_ALL_RANKS = {
    "training.rounds=0",
    "training.lr=\udcff",
    "rounds=3",
    "topology.name=torus topology.devices=6 topology.rows=4",
    "topology.file={dir}/none.txt",
    "placement.hosts=[-1]",
    "topology.name=ring topology.devices=6 placement.hosts=[0,0,0,0,0,{n}]",
    "ood.sources={n}",
    "ood.sources=degree:0",
    "ood.sources=random:{n+1}",
    "ood.size=9",
    "data.train_samples=1438",
    "data.name=mnist data.dir={dir}/none",
    "model.name=vgg16",
    "exchange.backend=nccl",
    "topology.name=ring topology.devices=1400 training.rounds=1000000000",
}
"""Settings that are refused by different parts of the program, or by the number of ranks."""


def numbered(cases):
    """Names of cases that begin with their places in the table."""
    return [f"{i}-{case[0]!a:.60}" for i, case in enumerate(cases)]


@pytest.fixture
def refused(comm, shared_path, monkeypatch, capsys):
    """``refused(arguments, sentences)``: collective; the command says just that."""

    def filled(text):
        # On each number of ranks another text, the same on all of them.
        for key, value in (("dir", shared_path), ("n+1", comm.size + 1), ("n", comm.size)):
            text = text.replace(f"{{{key}}}", str(value))
        return text

    def start(arguments, sentences):
        arguments = [filled(argument) for argument in arguments]
        if "--out" not in arguments:
            arguments += ["--out", str(shared_path / "out")]
        comm.Barrier()
        before = files(shared_path)
        with pytest.raises(SystemExit) as ended:
            command.main(arguments)
        said = capsys.readouterr()
        assert ended.value.code == 2
        assert said.out == ""
        if comm.rank != 0:
            assert said.err == ""
            return
        lines = said.err.splitlines()
        assert len(lines) == len(sentences), said.err
        for line, sentence in zip(lines, sentences, strict=True):
            assert line.startswith("mpidl: ")
            assert filled(sentence) in line
            assert line.endswith((".", "?"))
            assert not line.endswith("..")
            assert len(line) < 400 + line.count(str(shared_path)) * len(str(shared_path))
        assert files(shared_path) == before

    # A traceback would end all ranks, and with them this test's report.
    monkeypatch.setattr(world, "print", told, raising=False)
    return start


def told(text, **options):
    assert "Traceback" not in text, text
    builtins.print(text, **options)


def files(folder):
    """All below a folder, files with size and time, so that nothing was made, moved or changed.

    The time of a folder tells of a claim that came and went, too.
    """
    found = {p: p.lstat() for p in folder.rglob("*")}
    return {p: None if p.is_dir() else (s.st_size, s.st_mtime_ns) for p, s in found.items()}


def sets(settings):
    return [argument for setting in settings for argument in ("--set", setting)]


def test_there_are_a_hundred_different_ones():
    tables = (SETTINGS, COMMAND_LINES, RUN_FILES, GRAPHS, IMAGES, BATCHES, PATHS)
    assert all(len({str(case[:-1]) for case in table}) == len(table) for table in tables)
    assert sum(map(len, tables)) >= 100


@pytest.mark.ranks(1)
@pytest.mark.parametrize(("settings", "sentence"), SETTINGS, ids=numbered(SETTINGS))
def test_settings(refused, settings, sentence):
    # What a value is made of has no spaces.
    refused(sets(settings.split(" ")), [sentence])


@pytest.mark.parametrize("settings", sorted(ON_ALL_RANKS), ids=ascii)
def test_settings_on_all_ranks(refused, settings):
    refused(sets(settings.split(" ")), [dict(SETTINGS)[settings]])


@pytest.mark.ranks(1)
@pytest.mark.parametrize("settings", sorted(ON_ALL_RANKS), ids=ascii)
def test_a_check_refuses_what_a_run_refuses(refused, settings):
    refused([*sets(settings.split(" ")), "--check"], [dict(SETTINGS)[settings]])


@pytest.mark.parametrize(("arguments", "sentence"), COMMAND_LINES)
def test_command_lines(refused, arguments, sentence):
    refused(arguments, [sentence])


@pytest.mark.parametrize(("content", "sentences"), RUN_FILES, ids=numbered(RUN_FILES))
def test_run_files(comm, shared_path, refused, content, sentences):
    if comm.rank == 0:
        (shared_path / "bad.toml").write_bytes(content)
    refused([str(shared_path / "bad.toml")], sentences)


@pytest.mark.parametrize(("content", "sentence"), GRAPHS, ids=numbered(GRAPHS))
def test_graph_files(comm, shared_path, refused, content, sentence):
    path = shared_path / "graph.txt"
    if comm.rank == 0:
        path.write_text(content, encoding="utf-8")
    refused(sets([f"topology.file={path}"]), [sentence])


def test_a_stored_graph_of_another_size(comm, refused):
    stored = Path(__file__).parents[2] / "topologies" / "ba_8_2_0.txt"
    refused(
        sets([f"topology.file={stored}", "topology.devices=9"]),
        [f"topology.devices = 9: the graph file {stored} has 8 devices."],
    )
    refused(sets([f"topology.file={stored}", "ood.sources=published:9"]), ["must be 1 to "])


def test_more_ranks_than_devices(comm, shared_path, refused):
    if comm.size == 1:
        pytest.skip("no graph has fewer than one device")
    told = f"{comm.size} ranks are too many: each needs a device, and the graph has 1."
    refused(sets(["topology.devices=1"]), [told])
    path = shared_path / "graph.txt"
    if comm.rank == 0:
        path.write_text("0\n")
    refused(sets([f"topology.file={path}"]), [told])


def test_a_rank_without_a_device(comm, refused):
    if comm.size == 1:
        pytest.skip("the only rank has all devices")
    settings = ["topology.name=ring", "topology.devices=6", "placement.hosts=[0,0,0,0,0,0]"]
    refused(sets(settings), ["placement.hosts leaves rank 1 without a device"])


def test_an_accelerator_that_is_not_there(comm, refused):
    # Only the first rank has torch loaded by now.
    if comm.bcast(comm.rank == 0 and pytest.importorskip("torch").cuda.is_available()):
        pytest.skip("there is one")
    for more in ([], ["--check"]):
        refused([*sets(["training.accelerator=cuda"]), *more], ["'cuda': torch finds none on "])


def test_a_precision_that_the_hardware_has_not(refused):
    given = sets(["training.precision=tf32", "training.accelerator=cpu"])
    for more in ([], ["--check"]):
        refused([*given, *more], ["'tf32': needs a CUDA GPU, the A100 or a newer one; the cpu of "])


def test_a_node_without_its_accelerator(comm, refused, monkeypatch):
    """Each rank on a node of its own, of which the last one has a processor only."""
    if comm.size == 1:
        pytest.skip("the only node has one kind of hardware")
    kind = "cpu" if comm.rank == comm.size - 1 else "cuda"
    monkeypatch.setattr(world, "node", lambda comm: comm.Split(comm.rank))
    monkeypatch.setattr(accelerators, "chosen", lambda wanted: kind)
    monkeypatch.setattr(accelerators, "name", lambda: f"nid{comm.rank}")
    others = ", ".join(f"nid{rank}" for rank in range(comm.size - 1))
    told = (
        f"for all ranks, and finds cpu on nid{comm.size - 1}; cuda on {others}; 'cpu' works every"
    )
    for more in ([], ["--check"]):
        refused([*sets(["training.rounds=1"]), *more], [told])


def test_a_writer_that_is_not_there(refused):
    if h5py.get_config().mpi:
        pytest.skip("there is one")
    for more in ([], ["--check"]):
        refused([*sets(["record.writer=parallel"]), *more], ["this h5py was built without MPI"])


def idx(values, *shape):
    """An IDX file of bytes; the shape is what its header promises."""
    sizes = np.array(shape, ">u4").tobytes()
    return bytes([0, 0, 8, len(shape)]) + sizes + bytes(values)


def pixels(count, *shape):
    return idx([7] * (count * 28 * 28), *(shape or (count, 28, 28)))


TRAIN, LABELS, TEST = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
)
DIGITS = idx(range(10), 10)

IMAGES = [
    (TRAIN, None, "mnist needs the file {dir}/train-images-idx3-ubyte.gz (or train-images-idx3-ub"),
    (LABELS, None, "mnist needs the file {dir}/train-labels-idx1-ubyte.gz (or train-labels"),
    (TRAIN, b"", "is not the IDX file expected: begins with nothing, not 0x00000803."),
    (TRAIN, b"<html>404</html>", "is not the IDX file expected: begins with 0x3c68746d, not"),
    (TRAIN, DIGITS, "is not the IDX file expected: begins with 0x00000801, not 0x00000803."),
    (TRAIN, pixels(10)[:9], "/train-images-idx3-ubyte is truncated within its header."),
    (TRAIN, pixels(10)[:-1], "is truncated: 7839 bytes of data where 10 x 28 x 28 are promised."),
    (TRAIN, pixels(9, 11, 28, 28), "is truncated: its header promises 11 x 28 x 28 bytes, more"),
    (TRAIN, pixels(10) + b"\0", "is damaged: data goes on after the 10 x 28 x 28 bytes promised."),
    (TRAIN, pixels(0), "holds no data: its header says 0 x 28 x 28 bytes."),
    (TRAIN, pixels(10, 10, 14, 56), "holds images of 14 x 56 pixels, not 28 x 28."),
    (TRAIN, pixels(1, 2**31, 2**31, 28), "is truncated: its header promises 2147483648 x"),
    (TRAIN, gzip.compress(pixels(10))[:-9], "is a damaged gzip file (Compressed file ended"),
    (TRAIN, gzip.compress(pixels(10))[:40] + b"x" * 60, "is a damaged gzip file ("),
    (TRAIN, gzip.compress(pixels(9, 10, 28, 28)), "is truncated: 7056 bytes of data where 10 x 28"),
    (LABELS, idx(range(9), 9), "has 9 labels for the 10 images of {dir}/train-images-idx3-ubyte."),
    (LABELS, idx([10] * 10, 10), "has the label 10; labels are 0 to 9."),
    (TEST, pixels(11), "has 10 labels for the 11 images of"),
]
"""A file of MNIST, what is in it, and part of the one sentence that it is answered with."""


@pytest.mark.parametrize(("name", "content", "sentence"), IMAGES, ids=numbered(IMAGES))
def test_idx_files(comm, shared_path, refused, name, content, sentence):
    good = {TRAIN: pixels(10), LABELS: DIGITS, TEST: pixels(10), "t10k-labels-idx1-ubyte": DIGITS}
    if comm.rank == 0:
        for file, value in {**good, name: content}.items():
            if value is not None:
                (shared_path / file).write_bytes(value)
    refused(sets(["data.name=mnist", f"data.dir={shared_path}"]), [sentence])


def record(label):
    return bytes([label]) + bytes(3072)


BATCHES = [
    (
        "data_batch_3.bin",
        None,
        "cifar10 needs the file {dir}/cifar-10-batches-bin/data_batch_3.bin",
    ),
    ("data_batch_5.bin", b"", "is truncated or not of the binary version: 0 bytes are not"),
    ("data_batch_1.bin", record(3)[:-1], "3072 bytes are not a whole number of 3073-byte records."),
    ("test_batch.bin", record(10), "{dir}/test_batch.bin has the label 10; labels are 0 to 9."),
    ("data_batch_2.bin", 2**40, "is damaged: it has 1,099,511,627,776 bytes; at most"),
]
"""A file of CIFAR-10, what is in it (or how many zeros), and part of the one sentence."""


@pytest.mark.parametrize(("name", "content", "sentence"), BATCHES, ids=range(len(BATCHES)))
def test_cifar_files(comm, shared_path, refused, name, content, sentence):
    if comm.rank == 0:
        for batch in (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"):
            (shared_path / batch).write_bytes(record(1))
        if isinstance(content, int):
            os.truncate(shared_path / name, content)
        elif content is None:
            (shared_path / name).unlink()
        else:
            (shared_path / name).write_bytes(content)
    refused(sets(["data.name=cifar10", f"data.dir={shared_path}"]), [sentence])


PATHS = [
    ("{dir}/file", "Cannot write results to {dir}/file/default.h5: {dir}/file is not a folder."),
    ("{dir}/file/below", "{dir}/file/below/default.h5: {dir}/file is not a folder."),
    ("{dir}/dangling", "{dir}/dangling/default.h5: {dir}/dangling is not a folder."),
    ("{dir}/full", "Cannot write results to {dir}/full/default.h5: it is not a file."),
    ("{dir}/done", "{dir}/done/default.h5 holds a completed run; give --overwrite, another --out"),
    ("/dev/null", "Cannot write results to /dev/null/default.h5: /dev/null is not a folder."),
    ("/proc/mpidl", "Cannot write results to /proc/mpidl/default.h5: No such file or directory."),
    ("{dir}/" + "x" * 300, "default.h5: File name too long."),
]
"""Where results are to go, and part of the one sentence that it is answered with."""


@pytest.mark.parametrize(("out", "sentence"), PATHS, ids=range(len(PATHS)))
def test_places_for_results(comm, shared_path, refused, out, sentence):
    if comm.rank == 0:
        (shared_path / "file").write_text("not a folder")
        (shared_path / "dangling").symlink_to(shared_path / "nowhere")
        (shared_path / "full" / "default.h5").mkdir(parents=True)
        (shared_path / "done").mkdir()
        with h5py.File(shared_path / "done" / "default.h5", "w", libver=("v108", "v110")) as file:
            file["rounds_done"], file["completed"] = 1, 1
            file.attrs["schema"], file.attrs["run_file"] = 1, ""
    for more in ([], ["--check"]):
        refused(["--out", out, *more], [sentence])


def test_a_fault_leaves_an_unfinished_file_where_it_is(comm, shared_path, refused):
    if comm.rank == 0:
        (shared_path / "out").mkdir()
        (shared_path / "out" / "default.h5").write_text("unfinished")
    refused(sets(["model.name=vgg16"]), ["model.name = 'vgg16': needs images"])
    assert (shared_path / "out" / "default.h5").read_text() == "unfinished"


def test_a_run_file_that_never_ends(comm, shared_path, refused):
    if comm.rank == 0:
        os.mkfifo(shared_path / "pipe")
    refused([str(shared_path / "pipe")], ["pipe is not a regular file."])
