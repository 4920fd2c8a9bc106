"""Every row of the papers' tables: its bundle, its overlay of train.json, its parameters, its place in the paper."""

from collections.abc import Iterator
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Row:
    """One row of a paper's table.

    Attributes:
        paper: a key of ``PAPERS``.
        data: a key of ``DATALISTS``.
        method: as the paper calls it.
        bundle: the bundle that stands for it; empty where this project has none.
        overlay: its file in the bundle's ``configs/papers``, without ``.json``; empty where train.json is the row.
        parameters: of the network that it trains.
        printed: quotation, row and column of the value in ``quoted_tables.json``: ``("mambamorph", "TransMorph", 1)``.
        options: further words of the training command.
        differs: what a reader of the row has to know: words of ``DIFFERENCES``.
        classical: method of ``tools benchmark registration`` that stands for it: ``none`` is the affine start.
    """

    paper: str
    data: str
    method: str
    bundle: str = ""
    overlay: str = ""
    parameters: int = 0
    printed: tuple[str, str, int] | None = None
    options: str = ""
    differs: tuple[str, ...] = ()
    classical: str = ""

    @property
    def name(self) -> str:
        """A name for the run's folder."""
        words = "".join(letter if letter.isalnum() else "_" for letter in f"{self.paper}_{self.data}_{self.method}")
        return "_".join(word for word in words.lower().split("_") if word)

    @property
    def configs(self) -> list[str]:
        """The training configuration's files, from the repository's folder."""
        folder = f"bundles/{self.bundle}/configs"
        return [f"{folder}/train.json", *([f"{folder}/papers/{self.overlay}.json"] if self.overlay else [])]

    @property
    def train(self) -> str:
        """The command that trains the row; empty where nothing does."""
        if not self.bundle:
            return ""
        words = f"python -m monai.bundle run --config_file {_files(self.configs)} --datalist {self.data}.json"
        return f"{words} --ckpt_dir runs/{self.name}{' ' if self.options else ''}{self.options}"

    @property
    def test(self) -> str:
        """The command that scores it on the test pairs."""
        if self.classical:
            words = "python -m tools benchmark registration --section test --methods"
            return f"{words} {self.classical} --datalist {self.data}.json --output eval/{self.name}"
        if not self.bundle:
            return ""
        folder = f"bundles/{self.bundle}/configs"
        files = [f"{folder}/inference.json", f"{folder}/evaluate.json", *self.configs[1:]]
        weights = f"--section test --weights runs/{self.name}/best.pt --output_dir eval/{self.name}"
        words = f"python -m monai.bundle run --config_file {_files(files)} --datalist {self.data}.json {weights}"
        shape = ",".join(str(n) for n in SHAPES[self.data])
        spacing = "2.0" if self.data == "abdomen" else "1.0"
        return f'{words} --spacing {spacing} --shape "[{shape}]" --passes "[1]" --window none'


def _files(paths: list[str]) -> str:
    return paths[0] if len(paths) == 1 else '"[' + ",".join(f"'{path}'" for path in paths) + ']"'


PAPERS = {
    "mambamorph": "MambaMorph (arXiv:2401.13934)",
    "vmambamorph": "VMambaMorph (arXiv:2404.05105)",
    "psmamba": "PSMamba-Net (IET Image Processing 2025)",
    "vit_v_net": "ViT-V-Net (MIDL 2021)",
    "caml_morph": "CAMLMorph (IDA-230692)",
}
#: Datalist -> what makes it; DIR is where the data set lies.
DATALISTS = {
    "srreg": "python -m tools datalist srreg.json --make sr_reg --folder DIR",
    "srreg128": 'python -m tools datalist srreg128.json --make sr_reg --folder DIR --resize "[128,128,128]"',
    "ixi": "python -m tools datalist ixi.json --make ixi --folder DIR --images \"{'t1':'*T1*','t2':'*T2*'}\" "
    "--label '*seg*'",
    "lpba40": "python -m tools datalist lpba40.json --make lpba40 --folder DIR --images \"{'t1':'*/*brain*'}\" "
    "--label '*/*label*' --crop \"[160,192,160]\"",
    "mindboggle": "python -m tools datalist mindboggle.json --make mindboggle --folder DIR "
    "--images \"{'t1':'*/t1*'}\" --label '*/*DKT31*' --crop \"[160,192,160]\"",
    "abdomen": 'python -m tools datalist abdomen.json --make abdomen_ct_ct --folder DIR --crop "[192,160,160]"',
    "oasis": 'python -m tools datalist oasis.json --make oasis --folder DIR --crop "[160,192,160]"',
    "t1": "python -m tools datalist t1.json --make freesurfer_t1 --folder DIR --images \"{'t1':'*/norm*'}\" "
    "--label '*/aseg*' --crop \"[160,192,224]\"",
}
#: Voxels along right, front, up that the papers' networks see.
SHAPES = {
    "srreg": (176, 208, 192),
    "srreg128": (128, 128, 128),
    "ixi": (176, 208, 192),
    "lpba40": (160, 192, 160),
    "mindboggle": (160, 192, 160),
    "abdomen": (192, 160, 160),
    "oasis": (160, 192, 160),
    "t1": (160, 192, 224),
}
_EVERY_EPOCH = "--val_interval 1"  # as PSMamba-Net's authors validate
_TRAINED = ("8 bits", "grid", "outliers")
_LABELS = ("best validation", "doubled weight", "16 structures", "SD over n - 1", "folds")
_MAMBAMORPH = (*_TRAINED, *_LABELS, "pooled HD95")
_VMAMBAMORPH = (*_TRAINED, *_LABELS, "HD95 in voxels", "resizing", "rate of the paper", "integrated in training")
_PSMAMBA = (
    *_TRAINED,
    "test pairs choose",
    "absent labels",
    "pairs of ten",
    "SD over n - 1",
    "fold bounds",
    "crop by image",
)
_VIT = (
    *_TRAINED,
    "other people",
    "29 structures",
    "every fifth epoch",
    "both directions",
    "all pairs",
    "identity minus",
    "time to start",
)
_CAML = (*_TRAINED, "values lost", "our settings", "our split", "28 structures", "best of validation")


def _mambamorph() -> Iterator[Row]:
    for data, column in (("srreg", 1), ("ixi", 4)):
        more, scored = (("your data",) if data == "ixi" else ()), ("SD over n - 1", "16 structures", "pooled HD95")
        value = ("mambamorph", "initial", column)
        yield Row("mambamorph", data, "initial", printed=value, differs=(*more, *scored), classical="none")
        for method, bundle, overlay, count, differs in (
            ("VoxelMorph", "voxelmorph", "", 327_331, ()),
            ("TransMorph", "transmorph", "mambamorph_srreg", 14_287_299, ("three stages",)),
            ("XMorpher", "xmorpher", "mambamorph_srreg", 8_395_779, ("inferred depths", "first neighbour")),
            ("MambaMorph", "mambamorph", "", 7_594_646, ()),
        ):
            row = Row("mambamorph", data, method, bundle, overlay, count, ("mambamorph", method, column))
            row = replace(row, differs=(*more, *differs, *_MAMBAMORPH))
            yield replace(row, overlay="mambamorph_ixi") if data == "ixi" else row
    study = "mambamorph_study"
    row = Row("mambamorph", "srreg", "TransMorph, features", "transmorph", "", 14_572_371)
    yield replace(row, printed=(study, "TransMorph yes", 2), differs=("three stages", *_MAMBAMORPH))
    row = Row("mambamorph", "srreg", "MambaMorph, no features", "mambamorph", "mambamorph_srreg_no_features", 7_305_459)
    yield replace(row, printed=(study, "MambaMorph no", 2), differs=_MAMBAMORPH)


def _vmambamorph() -> Iterator[Row]:
    row = Row("vmambamorph", "srreg128", "initial", printed=("vmambamorph", "initial ", 2), classical="none")
    yield replace(row, differs=("copied row", "resizing", "16 structures", "SD over n - 1", "HD95 in voxels"))
    for method, bundle, without, features, differs in (
        ("VoxelMorph", "voxelmorph", 92_179, 158_166, ("not by the script",)),
        ("TransMorph", "transmorph", 14_287_299, 14_572_371, ("three stages",)),
        ("MambaMorph", "mambamorph", 7_305_459, 7_594_646, ()),
        ("VMambaMorph", "vmambamorph", 9_352_371, 9_641_558, ()),
    ):
        for word, count, overlay in (("no", without, "vmambamorph"), ("yes", features, "vmambamorph_features")):
            title = f"{method}, features" if word == "yes" else method
            own = bundle == "vmambamorph" and word == "yes"
            row = Row("vmambamorph", "srreg128", title, bundle, "" if own else overlay, count)
            common = (word for word in _VMAMBAMORPH if bundle != "transmorph" or word != "integrated in training")
            yield replace(row, printed=("vmambamorph", f"{method} {word}", 2), differs=(*differs, *common))


def _psmamba() -> Iterator[Row]:
    for data, column in (("lpba40", 3), ("mindboggle", 1), ("abdomen", 5)):
        more = ("your data",) if data == "lpba40" else ("your data", "no code for it")
        row = Row("psmamba", data, "affine", printed=("psmamba", "affine", column), classical="none")
        yield replace(row, differs=(*more, "absent labels", "pairs of ten", "SD over n - 1", "crop by image"))
        for method, bundle, overlay, count, differs in (
            ("TransMorph", "transmorph", f"psmamba_{data}", 14_287_299, ("their settings", "which TransMorph")),
            ("MambaMorph", "mambamorph", f"psmamba_{data}", 7_594_646, ("their settings", "which MambaMorph")),
            ("PSMamba-Net", "psmamba_net", "" if data == "lpba40" else f"psmamba_{data}", 8_408_047, ()),
            ("PSMamba-Net diff", "psmamba_net_diff", "" if data == "lpba40" else f"psmamba_{data}", 8_408_807, ()),
        ):
            row = Row("psmamba", data, method, bundle, overlay, count, ("psmamba", method, column))
            yield replace(row, options=_EVERY_EPOCH, differs=(*differs, *more, *_PSMAMBA))
        for method in ("Im2Grid", "PR++", "ModeT", "PIViT", "TransMatch"):
            yield Row("psmamba", data, method, printed=("psmamba", method, column), differs=("not part",))
    counts = {
        ("none", "none"): 2_107_607, ("transformer", "none"): 2_634_711, ("mamba", "none"): 2_808_791,
        ("smb", "none"): 6_823_767, ("none", "smb"): 3_691_887, ("transformer", "smb"): 4_218_991,
        ("mamba", "smb"): 4_393_071, ("smb", "smb"): 8_408_047,
    }  # fmt: skip
    for (bottom, decoder), count in counts.items():
        full = bottom == decoder == "smb"
        overlay = "" if full else f"psmamba_table4_{bottom}_{decoder}"
        row = Row("psmamba", "lpba40", f"table 4: bottom {bottom}, decoder {decoder}", "psmamba_net", overlay, count)
        row = replace(row, printed=("psmamba_table4", f"{bottom} {decoder}", 2), options=_EVERY_EPOCH)
        yield replace(row, differs=(*(() if full else ("our reading",)), "your data", *_PSMAMBA))


def _vit_v_net() -> Iterator[Row]:
    scored = ("other people", "29 structures", "all pairs")
    of_unet = ("U-Net", "trained like ours", *_VIT)
    for column, row in enumerate(
        (
            Row("vit_v_net", "t1", "affine", classical="none", differs=scored),
            Row("vit_v_net", "t1", "NiftyReg", differs=("no wheel",)),
            Row("vit_v_net", "t1", "SyN", classical="ants_syn_msq", differs=("ANTsPy", *scored, "identity minus")),
            Row("vit_v_net", "t1", "VoxelMorph-1", "voxelmorph", "vit_v_net_1", 276_523, differs=of_unet),
            Row("vit_v_net", "t1", "VoxelMorph-2", "voxelmorph", "vit_v_net_2", 327_331, differs=of_unet),
            Row("vit_v_net", "t1", "ViT-V-Net", "vit_v_net", "", 31_560_079, differs=_VIT),
        ),
        1,
    ):
        yield replace(row, printed=("vit_v_net", "Dice", column))


def _caml_morph() -> Iterator[Row]:
    ours = ("reconstruction", *_CAML)
    full = Row("caml_morph", "oasis", "full system, to an atlas", "caml_morph", "", 20_223_315, differs=ours)
    yield full
    yield replace(full, method="full system, pairwise", overlay="pairwise", differs=("pairwise too", *ours))
    counts = {
        "rbsc": 17_609_235, "caml": 20_027_091, "carsc": 17_608_899, "rbsc_carsc": 14_994_819,
        "caml_carsc": 17_412_675, "caml_rbsc": 17_413_011, "caml_rbsc_carsc": 14_798_595,
    }  # fmt: skip
    for off, count in counts.items():
        title = "without " + ", ".join(word.upper() for word in off.split("_"))
        yield replace(full, method=title, overlay=f"without_{off}", parameters=count)
    for value in ("0.5", "2.0", "4.0"):
        row = replace(full, method=f"lambda {value}", options=f"--smooth_weight {value}")
        yield replace(row, differs=("which lambda", *ours))
    yield Row("caml_morph", "oasis", "XMorpher", "xmorpher", "caml_morph", 15_093_891, differs=_CAML)
    yield Row("caml_morph", "oasis", "affine", classical="none", differs=("values lost", "our split", "28 structures"))
    yield Row("caml_morph", "oasis", "TransMatch", differs=("not part",))


ROWS: tuple[Row, ...] = (*_mambamorph(), *_vmambamorph(), *_psmamba(), *_vit_v_net(), *_caml_morph())
