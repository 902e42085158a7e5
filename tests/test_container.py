"""Dockerfile and compose.yaml, and the steps that build the image, run without a container engine."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from maskgate import __version__

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "scripts" / "container"
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
PAGE = (ROOT / "docs" / "pages.md").read_text("utf-8")


def run(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [str(SCRIPT), *map(str, words)]
    return subprocess.run(
        command, env=os.environ | {"PYTHON": sys.executable} | environment, capture_output=True, text=True
    )


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions and their words."""
    text = re.sub(r"\\\n\s*", " ", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE))
    return [
        (line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line.strip()
    ]


class TestDockerfile:
    def test_every_step_is_in_the_script(self) -> None:
        known = set(re.findall(r"^(\w+)\) ", SCRIPT.read_text("utf-8"), re.MULTILINE))
        steps = [step for name, words in instructions() if name == "RUN" for step in words.split(" && ")]
        for step in steps:
            program, word, *_ = shlex.split(step)
            assert program in ("scripts/container", "/opt/maskgate/bin/maskgate-container")
            assert word in known
        assert {shlex.split(step)[1] for step in steps} == known - {"healthy"}

    def test_the_base_is_pinned_and_known_to_the_package(self) -> None:
        given = dict(instructions())
        assert given["ARG"].startswith("PYTHON=")
        found = re.fullmatch(r"PYTHON=python:(\d+\.\d+)\.\d+-slim-\w+", given["ARG"])
        assert found
        assert f'"Programming Language :: Python :: {found[1]}"' in (ROOT / "pyproject.toml").read_text(
            "utf-8"
        )
        assert [words for name, words in instructions() if name == "FROM"] == [
            "${PYTHON} AS build",
            "${PYTHON}",
        ]
        assert "ADD" not in given

    def test_what_runs_is_nobody_and_can_be_asked_how_it_is(self) -> None:
        last = instructions()[[name for name, _ in instructions()].index("USER") :]
        found = dict(last)
        assert re.fullmatch(r"[1-9]\d{4}:[1-9]\d{4}", found["USER"])
        assert f"OWNER={found['USER']} " in SCRIPT.read_text("utf-8")
        assert json.loads(found["HEALTHCHECK"].partition("CMD ")[2]) == ["maskgate-container", "healthy"]
        assert json.loads(found["ENTRYPOINT"]) == ["maskgate"]
        arguments = json.loads(found["CMD"])
        assert arguments[:3] == ["serve", "--host", "0.0.0.0"]
        assert f"EXPOSE {arguments[-1]}" in DOCKERFILE

    def test_what_is_copied_is_there_and_not_ignored(self) -> None:
        ignored = (ROOT / ".dockerignore").read_text("utf-8").split()
        for name, words in instructions():
            if name == "COPY" and not words.startswith("--from"):
                for source in words.split()[:-1]:
                    assert (ROOT / source).exists()
                    assert f"!{source}" in ignored


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An installation as the image has it, less the packages of others: these are this environment's."""
    folder = tmp_path_factory.mktemp("container")
    built = run("wheel", folder / "wheels")
    assert built.returncode == 0, built.stderr
    installed = run("install", folder / "prefix", folder / "wheels", PIP_NO_DEPS="1", PIP_NO_INDEX="1")
    assert installed.returncode == 0, installed.stderr
    yield folder / "prefix"
    shutil.rmtree(folder)


class TestScript:
    def test_what_is_installed_recognises_faces(self, prefix: Path) -> None:
        (site,) = prefix.glob("lib/python*/site-packages")
        assert (site / "maskgate" / "models" / "weights").is_dir()
        assert list((site / "maskgate" / "server" / "__pycache__").glob("pages.*.pyc"))
        # a .pth file counts for python -I, which PYTHONPATH does not
        others = site / "others.pth"
        others.write_text(sysconfig.get_path("purelib") + "\n")
        found = run("check", prefix)
        assert found.returncode == 0, found.stderr
        where = "import maskgate; print(maskgate.__file__)"
        said = subprocess.run([prefix / "bin" / "python", "-I", "-c", where], capture_output=True, text=True)
        assert Path(said.stdout.strip()).is_relative_to(prefix)
        # and not without its models
        weights = site / "maskgate" / "models" / "weights"
        weights.rename(weights.with_name("gone"))
        assert run("check", prefix).returncode != 0
        weights.with_name("gone").rename(weights)

    def test_folders_belong_to_nobody_else(self, tmp_path: Path) -> None:
        if os.geteuid() != 0:
            pytest.skip("needs root to give folders away")
        assert run("folders", ROOT=str(tmp_path)).returncode == 0
        state = (tmp_path / "var" / "lib" / "maskgate").stat()
        assert (state.st_uid, state.st_gid, stat.S_IMODE(state.st_mode)) == (10001, 10001, 0o700)

    @pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
    def test_health(self, status: int, healthy: bool) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status if self.path == "/health/ready" else 404)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
            url = f"http://127.0.0.1:{server.server_address[1]}/health/ready"
            asked = run("healthy", PREFIX=sys.prefix, HEALTH_URL=url)
            server.shutdown()
        assert (asked.returncode == 0) is healthy, asked.stderr
        assert run("healthy", PREFIX=sys.prefix, HEALTH_URL=url).returncode == 1  # nobody there

    def test_wrong_calls_are_explained(self, tmp_path: Path) -> None:
        assert run("instal").returncode == 2
        assert "container wheel FOLDER" in run("instal").stderr
        empty = run("install", tmp_path / "prefix", tmp_path)
        assert (empty.returncode, empty.stderr) == (1, f"container: there is not one wheel in {tmp_path}\n")


class TestCompose:
    content: Any = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))

    def config(self, name: str) -> str:
        """A file's content as the container gets it."""
        text: str = self.content["configs"][name]["content"]
        assert not re.search(r"(?<!\$)\$(?!\$)", text), "a single $ would be replaced"
        return text.replace("$$", "$")

    @pytest.fixture
    def secrets(self, tmp_path: Path) -> Path:
        """What the page says to run before the first start, run; without the part that needs the image."""
        section = PAGE.partition("### With PostgreSQL and Mosquitto")[2]
        (script,) = re.findall(r"^```bash\n(mkdir .*?)^```", section, re.MULTILINE | re.DOTALL)
        made = "".join(line for line in script.splitlines(keepends=True) if not line.startswith("docker"))
        subprocess.run(["bash", "-euo", "pipefail", "-c", made], cwd=tmp_path, check=True)
        from maskgate.cli import main

        folder = tmp_path / "secrets"
        (words,) = re.findall(r"maskgate (tokens add guard .*?) --file", script)
        assert main([*words.split(), "--file", str(folder / "tokens")]) == 0
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        return folder

    def test_services_are_locked_down_and_pinned(self) -> None:
        services = self.content["services"]
        assert services["maskgate"]["image"] == f"maskgate:{__version__}"
        for service in services.values():
            assert re.fullmatch(r"[\w./-]+:\d+\.\d+(\.\d+)?(-\w+)?", service["image"])
            assert "no-new-privileges:true" in service["security_opt"]
            assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        assert services["maskgate"]["read_only"]
        assert services["maskgate"]["cap_drop"] == ["ALL"]
        for service in services.values():
            assert set(service.get("secrets", [])) <= set(self.content["secrets"])
            assert {c["source"] for c in service.get("configs", [])} <= set(self.content["configs"])

    def test_its_settings_are_taken(self, secrets: Path, tmp_path: Path) -> None:
        pytest.importorskip("fastapi")
        from maskgate.cli import create_parser, serve
        from maskgate.events.settings import MqttSettings

        text = self.config("rules").replace("/run/secrets", str(secrets)).replace("/var/lib", str(tmp_path))
        (tmp_path / "rules.toml").write_text(text)
        words = [
            word.replace("/run/secrets", str(secrets))
            for word in self.content["services"]["maskgate"]["command"]
        ]
        words[words.index("--rules") + 1] = str(tmp_path / "rules.toml")
        arguments = create_parser().parse_args(words)
        sources, rules = serve._choose(arguments)
        settings = serve._settings(arguments, rules, watching=True)
        assert [source.name for source in sources] == ["entrance"]
        assert settings.host == "0.0.0.0"
        assert settings.tokens.tokens[0].name == "guard"
        assert settings.store is not None
        password = (secrets / "database_password").read_text().strip()
        assert settings.store.reveal() == f"postgresql+psycopg://maskgate:{password}@postgres/maskgate"
        assert password not in repr(settings)
        assert rules is not None
        assert rules.events is not None
        (sink,) = rules.events.sinks
        assert isinstance(sink, MqttSettings)
        assert sink.host == "mosquitto"
        assert sink.password is not None
        assert sink.password.reveal() == (secrets / "mqtt_password").read_text().strip()
        # others are what they are called in the network of the compose file
        assert {"postgres", "mosquitto"} <= set(self.content["services"])
        assert "password_file /tmp/passwords" in self.config("mosquitto")

    def test_docker_takes_it(self, secrets: Path) -> None:
        docker = shutil.which("docker")
        if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True).returncode:
            pytest.skip("needs Docker Compose")
        command = [docker, "compose", "--file", ROOT / "compose.yaml", "config", "--quiet"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=secrets.parent)
        assert done.returncode == 0, done.stderr
