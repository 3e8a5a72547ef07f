"""The official Python client, unmodified."""

import pytest

kubernetes = pytest.importorskip("kubernetes")
from kubernetes import client, dynamic, stream, utils, watch  # noqa: E402


@pytest.fixture
def space(core, request):
    """A namespace of the test's own."""
    name = request.node.name.replace("_", "-")[:60]
    core.create_namespace({"metadata": {"name": name}})
    yield name
    core.delete_namespace(name)


def container(**more):
    return {"name": "main", "image": "nginx", "ports": [{"containerPort": 80}]} | more


@pytest.fixture
def pod(core, space):
    made = {"metadata": {"name": "web"}, "spec": {"containers": [container()]}}
    core.create_namespaced_pod(space, made)
    for event in watch.Watch().stream(core.list_namespaced_pod, space, timeout_seconds=60):
        if event["object"].status.phase == "Running":
            return "web"
    raise AssertionError("the pod did not run")


def test_objects(core, space):
    made = core.create_namespaced_config_map(space, {"metadata": {"name": "a"}, "data": {"x": "1"}})
    assert core.read_namespaced_config_map("a", space).data == {"x": "1"}
    core.patch_namespaced_config_map("a", space, {"data": {"y": "2"}})
    made.data = {"z": "3"}
    with pytest.raises(client.ApiException) as caught:
        core.replace_namespaced_config_map("a", space, made)
    assert (caught.value.status, "Conflict" in caught.value.body) == (409, True)
    core.delete_collection_namespaced_config_map(space, label_selector="none=here")
    assert len(core.list_namespaced_config_map(space, limit=1).items) == 1
    core.delete_namespaced_config_map("a", space)
    with pytest.raises(client.ApiException) as caught:
        core.read_namespaced_config_map("a", space)
    assert caught.value.status == 404


def test_watch(core, space):
    core.create_namespaced_config_map(space, {"metadata": {"name": "a"}})
    seen = []
    watching = watch.Watch()
    for event in watching.stream(
        core.list_namespaced_config_map,
        space,
        field_selector="metadata.name=a",
        timeout_seconds=60,
    ):
        seen.append(event["type"])
        if event["type"] == "ADDED":
            core.patch_namespaced_config_map("a", space, {"data": {"x": "1"}})
        elif event["type"] == "MODIFIED":
            core.delete_namespaced_config_map("a", space)
        elif event["type"] == "DELETED":
            watching.stop()
    assert seen == ["ADDED", "MODIFIED", "DELETED"]


def test_exec_and_logs(core, space, pod):
    assert core.read_namespaced_pod_log(pod, space).startswith("line 0")
    run = core.connect_get_namespaced_pod_exec
    more = {"stderr": True, "stdin": False, "stdout": True, "tty": False}
    assert stream.stream(run, pod, space, command=["echo", "hi"], **more) == "hi\n"
    session = stream.stream(
        run,
        pod,
        space,
        command=["sh", "-c", "read x; echo got $x; exit 4"],
        _preload_content=False,
        **(more | {"stdin": True}),
    )
    session.write_stdin("this\n")
    session.run_forever(timeout=60)
    assert session.read_stdout() == "got this\n" and session.returncode == 4


def test_create_from_yaml_and_scale(api, space):
    labels = {"app": "web"}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": space},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container()]}},
        },
    }
    utils.create_from_dict(api, deployment)
    apps = client.AppsV1Api(api)
    apps.patch_namespaced_deployment_scale("web", space, {"spec": {"replicas": 2}})
    assert apps.read_namespaced_deployment_scale("web", space).spec.replicas == 2
    for event in watch.Watch().stream(apps.list_namespaced_deployment, space, timeout_seconds=60):
        if event["object"].status.available_replicas == 2:
            break
    assert (
        len(client.CoreV1Api(api).list_namespaced_pod(space, label_selector="app=web").items) == 2
    )


def test_dynamic_client(api, space):
    resources = dynamic.DynamicClient(api)
    config_maps = resources.resources.get(api_version="v1", kind="ConfigMap")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"x": "1"}}
    done = config_maps.server_side_apply(body=body, namespace=space, field_manager="me", name="a")
    assert done.metadata.managedFields[0].manager == "me"
    assert config_maps.get(name="a", namespace=space).data.x == "1"


def test_version_and_reviews(api):
    assert client.VersionApi(api).get_code().major == "1"
    attributes = {"verb": "get", "resource": "pods"}
    body = {"spec": {"resourceAttributes": attributes}}
    review = client.AuthorizationV1Api(api).create_self_subject_access_review(body)
    assert review.status.allowed


def test_ports_and_the_proxy(core, space, pod, page):
    forward = stream.portforward(
        core.connect_get_namespaced_pod_portforward, pod, space, ports=str(page)
    )
    connection = forward.socket(page)
    connection.setblocking(True)
    connection.sendall(b"GET /there HTTP/1.0\r\n\r\n")
    answer = b"".join(iter(lambda: connection.recv(4096), b""))
    connection.close()
    assert answer.endswith(b"GET /there")
    assert forward.error(page) is None
    name = f"{pod}:{page}"
    assert core.connect_get_namespaced_pod_proxy_with_path(name, space, "a/b") == "GET /a/b"
    assert core.connect_post_namespaced_pod_proxy_with_path(name, space, "a") == "POST /a"
    assert core.connect_get_node_proxy_with_path("node-1", "healthz") == "ok"
    with pytest.raises(client.ApiException) as caught:
        core.connect_get_namespaced_pod_proxy_with_path(f"{pod}:1", space, "a")
    assert caught.value.status == 503


def test_evict_and_request_a_token(api, core, space, pod):
    core.create_namespaced_service_account(space, {"metadata": {"name": "robot"}})
    body = {"spec": {"audiences": ["vault"], "expirationSeconds": 600}}
    made = core.create_namespaced_service_account_token("robot", space, body)
    assert made.status.token.count(".") == 2
    before = core.read_namespaced_pod(pod, space).metadata.resource_version
    core.create_namespaced_pod_eviction(pod, space, {"metadata": {"name": pod}})
    for event in watch.Watch().stream(
        core.list_namespaced_pod,
        space,
        field_selector=f"metadata.name={pod}",
        resource_version=before,
        timeout_seconds=60,
    ):
        if event["type"] == "DELETED":
            return
    raise AssertionError("it was not evicted")


def test_a_watch_from_a_revision_that_is_too_new_or_too_old(core, space):
    with pytest.raises(client.ApiException) as caught:
        core.list_namespaced_config_map(space, resource_version="999999999", timeout_seconds=1)
    assert caught.value.status == 504
    made = core.create_namespaced_config_map(space, {"metadata": {"name": "a"}})
    core.patch_namespaced_config_map("a", space, {"data": {"x": "y"}})
    seen = []
    watching = watch.Watch()
    for event in watching.stream(
        core.list_namespaced_config_map,
        space,
        resource_version=made.metadata.resource_version,
        timeout_seconds=60,
    ):
        seen.append((event["type"], event["object"].data))
        watching.stop()
    assert seen == [("MODIFIED", {"x": "y"})]
