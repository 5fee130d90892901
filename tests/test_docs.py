"""What the documents show works as they show it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.forked import forked_code

ROOT = Path(__file__).parents[1]
EXTEND = (ROOT / "docs" / "extend.md").read_text(encoding="utf-8")
PARTS = re.findall(r"## (.*?)\n\n```python\n(.*?)```", EXTEND.partition("## In a package")[0], re.DOTALL)
USE = {
    "A γ-strategy": (
        "import torch\n"
        "from rebnn_search.method import BinaryLinear, GAMMA, ReBNN\n"
        "layer = BinaryLinear(4, 3)\n"
        "optimizer = torch.optim.Adam(layer.parameters())\n"
        "ReBNN(layer, gamma=GAMMA['decaying'](half_life=5.0)).attach(optimizer)\n"
        "layer(torch.randn(2, 4)).sum().backward()\n"
        "optimizer.step()\n"
    ),
    "A dataset": (
        "from rebnn_search.config import parse, validate\n"
        "from rebnn_search.training import Recipe, Trainer\n"
        "text = 'data: {name: stripes, count: 300}\\nnetwork: {name: digits_resnet, width: 4}\\nepochs: 3\\n'\n"
        "text += 'optimizer: {name: adam, lr: 1e-2}'\n"
        "trainer = Trainer(validate(Recipe, parse(text, 'recipe')))\n"
        "while not trainer.finished:\n"
        "    report = trainer.next_report()\n"
        "assert report.metrics['val/top1'] > 80, report.metrics\n"
    ),
    "An objective": (
        "from rebnn_search.testing import OBJECTIVE_CHECKS\nfor check in OBJECTIVE_CHECKS:\n    check(Parameters)\n"
    ),
    "A network": (
        "import torch\n"
        "from rebnn_search.method import NETWORKS\n"
        "network = NETWORKS['wide'](in_channels=3, num_classes=5, image_size=8, factor=1)\n"
        "assert network(torch.randn(2, 3, 8, 8)).shape == (2, 5)\n"
    ),
    "A pruner": (
        "from rebnn_search.testing import PRUNER_CHECKS\nfor check in PRUNER_CHECKS:\n    check(PRUNERS['plateau'])\n"
    ),
    "A format of model files": (
        "from rebnn_search.testing import MODEL_FORMAT_CHECKS\nfor check in MODEL_FORMAT_CHECKS:\n    check(Numpy)\n"
    ),
    "A figure of the report": (
        "from rebnn_search.report.figures import FIGURES\n"
        "from rebnn_search.testing import FIGURE_CHECKS\n"
        "for check in FIGURE_CHECKS:\n"
        "    check(lambda: next(figure for figure in FIGURES if figure.name == 'duration'))\n"
    ),
    "A question that the report answers": (
        "from rebnn_search.report.answers import QUESTIONS\n"
        "from rebnn_search.testing import QUESTION_CHECKS\n"
        "for check in QUESTION_CHECKS:\n"
        "    check(lambda: next(question for question in QUESTIONS if question.name == 'wasted'))\n"
    ),
    "An observer": (
        "import os, tempfile\n"
        "os.chdir(tempfile.mkdtemp())\n"
        "from rebnn_search.execution.observers import Observers\n"
        "with Observers(SearchObserver(), [Ends()]) as told:\n"
        "    told.finished(3, 'PRUNED', 'worse', {'val/top1': 40.0})\n"
        "assert json.loads(Path('ends.jsonl').read_text()) == {'trial': 3, 'state': 'PRUNED', 'why': 'worse', 'val/top1': 40.0}\n"
    ),
}


@pytest.mark.slow(minutes=1.5)
def test_the_library_script_runs(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "library.py")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("8 trials")
    assert (tmp_path / "training_loss.png").stat().st_size > 1000


def test_every_example_is_tried() -> None:
    assert [title for title, _ in PARTS] == list(USE)


@pytest.mark.parametrize(("title", "code"), PARTS, ids=[title for title, _ in PARTS])
def test_an_example_works(title: str, code: str) -> None:
    assert forked_code(code + USE[title]) == 0


def test_the_documents_link_to_what_is_there() -> None:
    for document in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([\w./-]+)\)", document.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_the_files_page_knows_every_part_and_key() -> None:
    from rebnn_search.method import GAMMA, NETWORKS, SCALE_INIT
    from rebnn_search.study.pruners import PRUNERS
    from rebnn_search.study.samplers import SAMPLERS
    from rebnn_search.study.spec import SearchSpec
    from rebnn_search.training import Recipe
    from rebnn_search.training.data import DATASETS

    page = (ROOT / "docs" / "files.md").read_text(encoding="utf-8")
    for registry in (GAMMA, NETWORKS, SCALE_INIT, PRUNERS, SAMPLERS, DATASETS):
        for name in registry:
            assert name in page, name
    for model in (Recipe, SearchSpec):
        for name, field in model.model_fields.items():
            assert f"| `{field.alias or name}` |" in page, name
