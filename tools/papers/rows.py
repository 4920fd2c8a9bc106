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
        differs: what a reader of the row has to know.
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
    differs: str = ""
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
        spacing, shape = ("2.0" if self.data == "abdomen" else "1.0"), ""
        if self.data == "srreg128":
            shape = ' --shape "[128,128,128]"'
        weights = f"--section test --weights runs/{self.name}/best.pt --output_dir eval/{self.name}"
        words = f"python -m monai.bundle run --config_file {_files(files)} --datalist {self.data}.json {weights}"
        return f'{words} --spacing {spacing} --passes "[1]"{shape}'


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
_INFERRED = "the paper prints 8.40 million; depths 2, 2, 2, 2 and MLP ratio 2 are inferred from that"
_ABSENT = "not part of this project"
_SAME = "the paper's values: train.json as it is"
_THREE_STAGES = "the three-stage variant of the MambaMorph repository, not the original with four stages"
_OWN_SETTINGS = "trained as PSMamba-Net is (the paper's settings of each method are not at hand)"
_RECONSTRUCTED = "how the paper builds it is not said: see the network's arguments"
_BOTH_WAYS = "directions are drawn; the authors' code takes every pair in both, which is as many steps"
_LOST = "all values of the paper are lost; the network is a reconstruction"


def _mambamorph() -> Iterator[Row]:
    yield Row("mambamorph", "srreg", "initial", printed=("mambamorph", "initial", 1), classical="none")
    yield Row("mambamorph", "ixi", "initial", printed=("mambamorph", "initial", 4), classical="none")
    for method, bundle, overlay, count, differs in (
        ("VoxelMorph", "voxelmorph", "", 327_331, _SAME),
        ("TransMorph", "transmorph", "mambamorph_srreg", 14_287_299, _THREE_STAGES),
        ("XMorpher", "xmorpher", "mambamorph_srreg", 8_395_779, _INFERRED),
        ("MambaMorph", "mambamorph", "", 7_594_646, _SAME),
    ):
        row = Row("mambamorph", "srreg", method, bundle, overlay, count, ("mambamorph", method, 1), "", differs)
        yield row
        ixi = replace(row, data="ixi", overlay="mambamorph_ixi", printed=("mambamorph", method, 4))
        yield replace(ixi, differs="" if differs is _SAME else differs)
    study = "mambamorph_study"
    yield Row("mambamorph", "srreg", "TransMorph, features", "transmorph", "", 14_572_371,
              (study, "TransMorph yes", 2), "", _SAME)  # fmt: skip
    yield Row("mambamorph", "srreg", "MambaMorph, no features", "mambamorph", "mambamorph_srreg_no_features", 7_305_459,
              (study, "MambaMorph no", 2))  # fmt: skip


def _vmambamorph() -> Iterator[Row]:
    yield Row("vmambamorph", "srreg128", "initial", printed=("vmambamorph", "initial ", 2), classical="none",
              differs="the paper repeats MambaMorph's values at 176x208x192")  # fmt: skip
    for method, bundle, without, features in (
        ("VoxelMorph", "voxelmorph", 92_179, 158_166),
        ("TransMorph", "transmorph", 14_287_299, 14_572_371),
        ("MambaMorph", "mambamorph", 7_305_459, 7_594_646),
        ("VMambaMorph", "vmambamorph", 9_352_371, 9_641_558),
    ):
        for word, count, overlay in (("no", without, "vmambamorph"), ("yes", features, "vmambamorph_features")):
            own = bundle == "vmambamorph" and word == "yes"
            title = f"{method}, features" if word == "yes" else method
            yield Row("vmambamorph", "srreg128", title, bundle, "" if own else overlay, count,
                      ("vmambamorph", f"{method} {word}", 2), "", _SAME if own else "")  # fmt: skip


def _psmamba() -> Iterator[Row]:
    for data, column in (("lpba40", 3), ("mindboggle", 1), ("abdomen", 5)):
        yield Row("psmamba", data, "affine", printed=("psmamba", "affine", column), classical="none")
        for method, bundle, count in (
            ("TransMorph", "transmorph", 14_287_299),
            ("MambaMorph", "mambamorph", 7_594_646),
        ):
            differs = _OWN_SETTINGS + ("; " + _THREE_STAGES if bundle == "transmorph" else "")
            yield Row(
                "psmamba", data, method, bundle, f"psmamba_{data}", count, ("psmamba", method, column), "", differs
            )
        for method, bundle, count in (
            ("PSMamba-Net", "psmamba_net", 8_408_047),
            ("PSMamba-Net diff", "psmamba_net_diff", 8_408_807),
        ):
            overlay = "" if data == "lpba40" else f"psmamba_{data}"
            yield Row(
                "psmamba",
                data,
                method,
                bundle,
                overlay,
                count,
                ("psmamba", method, column),
                "",
                "" if overlay else _SAME,
            )
        for method in ("Im2Grid", "PR++", "ModeT", "PIViT", "TransMatch"):
            yield Row("psmamba", data, method, printed=("psmamba", method, column), differs=_ABSENT)
    counts = {
        ("none", "none"): 2_107_607, ("transformer", "none"): 2_634_711, ("mamba", "none"): 2_808_791,
        ("smb", "none"): 6_823_767, ("none", "smb"): 3_691_887, ("transformer", "smb"): 4_218_991,
        ("mamba", "smb"): 4_393_071, ("smb", "smb"): 8_408_047,
    }  # fmt: skip
    for (bottom, decoder), count in counts.items():
        full = bottom == decoder == "smb"
        overlay, differs = ("", _SAME) if full else (f"psmamba_table4_{bottom}_{decoder}", _RECONSTRUCTED)
        title, printed = f"table 4: bottom {bottom}, decoder {decoder}", ("psmamba_table4", f"{bottom} {decoder}", 2)
        yield Row("psmamba", "lpba40", title, "psmamba_net", overlay, count, printed, "", differs)


def _vit_v_net() -> Iterator[Row]:
    widths = "the widths of VoxelMorph-{} on this project's U-Net, which takes no skip from the images themselves"
    for column, row in enumerate(
        (
            Row("vit_v_net", "t1", "affine", classical="none"),
            Row("vit_v_net", "t1", "NiftyReg", differs="not in the benchmark: no wheel holds its program"),
            Row("vit_v_net", "t1", "SyN", classical="ants_syn_msq", differs="mean squares, 40/20/0 iterations, ANTsPy"),
            Row("vit_v_net", "t1", "VoxelMorph-1", "voxelmorph", "vit_v_net_1", 276_523, differs=widths.format(1)),
            Row("vit_v_net", "t1", "VoxelMorph-2", "voxelmorph", "vit_v_net_2", 327_331, differs=widths.format(2)),
            Row("vit_v_net", "t1", "ViT-V-Net", "vit_v_net", "", 31_560_079, differs=_BOTH_WAYS),
        ),
        1,
    ):
        yield replace(row, printed=("vit_v_net", "Dice", column))


def _caml_morph() -> Iterator[Row]:
    yield Row("caml_morph", "oasis", "full system, to an atlas", "caml_morph", "", 20_223_315, differs=_LOST)
    yield Row("caml_morph", "oasis", "full system, pairwise", "caml_morph", "pairwise", 20_223_315, differs=_LOST)
    counts = {
        "rbsc": 17_609_235, "caml": 20_027_091, "carsc": 17_608_899, "rbsc_carsc": 14_994_819,
        "caml_carsc": 17_412_675, "caml_rbsc": 17_413_011, "caml_rbsc_carsc": 14_798_595,
    }  # fmt: skip
    for off, count in counts.items():
        title = "without " + ", ".join(word.upper() for word in off.split("_"))
        yield Row("caml_morph", "oasis", title, "caml_morph", f"without_{off}", count, differs=_LOST)
    for value in ("0.5", "2.0", "4.0"):
        full = Row("caml_morph", "oasis", f"lambda {value}", "caml_morph", "", 20_223_315)
        yield replace(full, options=f"--smooth_weight {value}", differs=_LOST + ", and the values of lambda")
    yield Row("caml_morph", "oasis", "XMorpher", "xmorpher", "caml_morph", 15_093_891, differs=_LOST)
    yield Row("caml_morph", "oasis", "affine", classical="none", differs=_LOST)
    yield Row("caml_morph", "oasis", "TransMatch", differs=_ABSENT)


ROWS: tuple[Row, ...] = (*_mambamorph(), *_vmambamorph(), *_psmamba(), *_vit_v_net(), *_caml_morph())
