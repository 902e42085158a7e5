from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("matplotlib")

from maskgate.studies.comparison_findings import comparison_findings
from maskgate.studies.comparison_results import Comparison, Test

GIVEN: Test = ("test", "given")

Make = Callable[..., Any]


def test_findings_name_the_order_and_the_lead(answers: Make, result: Make) -> None:
    poor = answers([0.1, 0.1, 0.3, 0.6, 0.6, 0.5])
    right = answers([0.9, 0.8, 0.7, 0.4, 0.1, 0.1])
    ours = result("retinaface-resnet", title="Ours", answers={GIVEN: right}, speed=None)
    pca, cascade = (result(n, title=n, answers={GIVEN: a}, speed=None)
                    for n, a in (("pca", result().answers[GIVEN]), ("cascade-cnn", poor)))  # fmt: skip
    lines = comparison_findings(Comparison((pca, cascade, ours), "retinaface-resnet"))
    assert lines[0].startswith(
        "Held-out faces, given, accuracy: Ours 100.00 %, pca 80.00 %, cascade-cnn 0.00 %."
    )
    assert lines[0].endswith("The paper's order is another one: Ours, cascade-cnn, pca.")
    assert "Ours is not clearly apart from pca, the best other method, by +20.00 points" in lines[1]
    assert any(
        "cascade-cnn has 0.00 % where always saying the commoner class has 60.00 %" in x for x in lines
    )
    assert not any("Ours has" in line for line in lines)
