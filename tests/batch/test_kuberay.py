"""The Kubernetes manifest uses fields that the KubeRay operator and Kubernetes know, and works."""

import shlex
import subprocess

import jsonschema
import yaml

from ds4d import cli
from tests.paths import ROOT


def fields(required: tuple[str, ...] = (), **properties) -> dict:
    return {
        "type": "object", "properties": properties, "required": list(required),
        "additionalProperties": False,
    }  # fmt: skip


def lists(item: dict) -> dict:
    return {"type": "array", "items": item, "minItems": 1}


# The part of ray.io/v1 RayJob and of Kubernetes' PodSpec that is used, field by field.
TEXT, COUNT, FLAG = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "boolean"}
TEXTS = {"type": "object", "additionalProperties": TEXT}  # numbers must be quoted
RESOURCES = fields(requests=TEXTS, limits=TEXTS)
CONTAINER = fields(
    ("name", "image"),
    name=TEXT, image=TEXT, workingDir=TEXT, resources=RESOURCES,
    env=lists(fields(("name", "value"), name=TEXT, value=TEXT)),
    envFrom=lists(fields(secretRef=fields(("name",), name=TEXT))),
    volumeMounts=lists(fields(("name", "mountPath"), name=TEXT, mountPath=TEXT, readOnly=FLAG)),
)  # fmt: skip
CLAIM = fields(("claimName",), claimName=TEXT, readOnly=FLAG)
POD = fields(
    ("containers",),
    containers=lists(CONTAINER), nodeSelector=TEXTS, terminationGracePeriodSeconds=COUNT,
    tolerations=lists(fields(
        key=TEXT, operator={"enum": ["Exists", "Equal"]}, value=TEXT,
        effect={"enum": ["NoSchedule", "PreferNoSchedule", "NoExecute"]},
    )),
    volumes=lists(fields(("name",), name=TEXT, persistentVolumeClaim=CLAIM)),
)  # fmt: skip
TEMPLATE = fields(("spec",), metadata={"type": "object"}, spec=POD)
HEAD = fields(("template",), rayStartParams=TEXTS, template=TEMPLATE)
WORKERS = fields(
    ("groupName", "template"),
    groupName=TEXT, replicas=COUNT, minReplicas=COUNT, maxReplicas=COUNT, rayStartParams=TEXTS,
    template=TEMPLATE,
)  # fmt: skip
CLUSTER = fields(
    ("headGroupSpec",),
    rayVersion=TEXT, enableInTreeAutoscaling=FLAG, headGroupSpec=HEAD,
    autoscalerOptions=fields(idleTimeoutSeconds=COUNT), workerGroupSpecs=lists(WORKERS),
)  # fmt: skip
JOB = fields(
    ("apiVersion", "kind", "metadata", "spec"),
    apiVersion={"const": "ray.io/v1"}, kind={"const": "RayJob"},
    metadata=fields(("name",), name={"type": "string", "pattern": "^[a-z0-9-]{1,47}$"}),
    spec=fields(
        ("entrypoint", "rayClusterSpec"),
        entrypoint=TEXT, shutdownAfterJobFinishes=FLAG, backoffLimit=COUNT,
        submissionMode={"enum": ["K8sJobMode", "HTTPMode", "SidecarMode"]}, rayClusterSpec=CLUSTER,
    ),
)  # fmt: skip


def test_the_manifest_fits_the_schema_and_its_command_is_understood(monkeypatch):
    job = yaml.safe_load((ROOT / "docs/kuberay.yaml").read_text())
    jsonschema.validate(job, JOB)
    _, _, _, *arguments = shlex.split(job["spec"]["entrypoint"])
    ran = []
    monkeypatch.setattr(cli, "RUNNERS", dict.fromkeys(cli.RUNNERS, lambda c: ran.append(c) or 0))
    assert cli.main(arguments) == 0 and ran[0].address == "auto"
    cluster = job["spec"]["rayClusterSpec"]
    for group in cluster["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
        pod = group["template"]["spec"]
        mounts = [m["name"] for c in pod["containers"] for m in c["volumeMounts"]]
        assert mounts == [volume["name"] for volume in pod["volumes"]]


def test_the_slurm_script_is_valid_shell():
    assert subprocess.run(["bash", "-n", ROOT / "docs/slurm.sh"]).returncode == 0
