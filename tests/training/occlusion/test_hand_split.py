from __future__ import annotations

from pathlib import Path

from maskgate.training.occlusion.hand_split import split_hands


class TestHands:
    def test_hands_of_a_person_stay_together(self, tmp_path: Path) -> None:
        (tmp_path / "hands").mkdir()
        rows = [f"h{i}.jpg,{i % 24},20,dark" for i in range(96)]
        (tmp_path / "hands" / "dorsal.csv").write_text("\n".join(["file,person,age,skin", *rows]))
        files = [tmp_path / "hands" / "dorsal" / f"h{i}.jpg" for i in range(96)]
        signs = [tmp_path / "hands" / "signs" / f"s{i}.jpg" for i in range(80)]
        learn, keep = split_hands(files + signs, tmp_path)
        assert sorted(learn + keep) == sorted(files + signs)

        def people(hands: list[Path]) -> set[int]:
            return {int(h.stem[1:]) % 24 for h in hands if h.stem[0] == "h"}

        assert not people(learn) & people(keep)
        assert len(people(keep)) == 12
        assert sum(h.stem[0] == "s" for h in keep) == 10

    def test_hands_of_nobody_known(self, tmp_path: Path) -> None:
        files = [tmp_path / f"{i}.jpg" for i in range(16)]
        learn, keep = split_hands(files, tmp_path)
        assert (len(learn), len(keep)) == (14, 2)

    def test_sides_do_not_depend_on_the_other_files(self, tmp_path: Path) -> None:
        signs = [tmp_path / "hands" / "signs" / f"{i:04}.jpg" for i in range(1, 81)]
        others = [tmp_path / "hands" / "more" / f"{i:04}.jpg" for i in range(3)]
        kept = set(split_hands(signs, tmp_path)[1])
        for files in (others + signs, signs[::-1], signs[3:] + others, signs[:40]):
            assert set(split_hands(files, tmp_path)[1]) & set(signs) == kept & set(files)
