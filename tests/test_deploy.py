"""The files under deploy/ against the schemas of those who will read them, and their commands against this project's parser."""

import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import ray
import yaml
from ray.autoscaler._private.util import prepare_config

from rebnn_search.run import parser

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
KUBERNETES = "1.34"


def arguments(command: str) -> Any:
    words = shlex.split(command)
    return parser().parse_args(words[words.index("rebnn_search.run") + 1 :])


def test_the_cluster_launcher_s_file_fits_ray_s_schema() -> None:
    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text(encoding="utf-8"))
    cluster = yaml.safe_load((DEPLOY / "ray-aws.yaml").read_text(encoding="utf-8"))
    jsonschema.validate(cluster, schema)
    assert cluster["head_node_type"] in cluster["available_node_types"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**cluster, "max_worker": 1}, schema)


def test_the_cluster_launcher_adds_nothing_of_its_own_to_the_image() -> None:
    cluster = yaml.safe_load((DEPLOY / "ray-aws.yaml").read_text(encoding="utf-8"))
    prepared = prepare_config(cluster)  # with Ray's defaults for AWS, which are for its own images
    commands = [key for key in prepared if key.endswith("_commands") and not key.endswith("start_ray_commands")]
    assert len(commands) > 3
    assert not any(prepared[key] for key in commands)
    # It starts the container with a shell as its command, which the image's entrypoint would take for a search file.
    assert "ENTRYPOINT" in (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert "--entrypoint=" in prepared["docker"]["run_options"]


def test_the_ray_job_s_pods_fit_kubernetes_schema_and_its_command_is_ours() -> None:
    job = yaml.safe_load((DEPLOY / "rayjob.yaml").read_text(encoding="utf-8"))
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    cluster = job["spec"]["rayClusterSpec"]
    templates = [cluster["headGroupSpec"]["template"], *(group["template"] for group in cluster["workerGroupSpecs"])]
    for template in templates:
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": template["spec"]}
        kubernetes_validate.validate(pod, KUBERNETES, strict=True)
        pod["spec"] = {**template["spec"], "container": []}
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(pod, KUBERNETES, strict=True)
    args = arguments(job["spec"]["entrypoint"])
    assert args.resume_or_start and args.address == "auto" and (ROOT / args.space).is_file()
    assert f"\nray=={cluster['rayVersion']}\n" in (ROOT / "constraints.txt").read_text(encoding="utf-8")


def test_the_submit_script_submits_our_command(tmp_path: Path) -> None:
    ray_command = tmp_path / "ray"
    ray_command.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n', encoding="utf-8")
    ray_command.chmod(0o755)
    done = subprocess.run(
        [str(DEPLOY / "submit.sh"), "search_spaces/gamma.yaml", "my-search", "s3://bucket/x", "--trials", "9"],
        capture_output=True, text=True, check=True,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "MLFLOW_TRACKING_URI": "http://mlflow:5000"},
    )  # fmt: skip
    words = done.stdout.splitlines()
    assert words[:2] == ["job", "submit"]
    args = arguments(shlex.join(words))
    assert (args.name, args.storage, args.address, args.trials, args.resume_or_start, args.tracking_uri) == (
        "my-search", "s3://bucket/x", "auto", 9, True, "http://mlflow:5000",
    )  # fmt: skip
    assert (ROOT / args.space).is_file()
