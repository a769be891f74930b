"""What a cluster has before anybody uses it: rights of its parts, CoreDNS, a storage class, the DNSEndpoint type."""

IMAGE = "drillmaster.test/controlplane:1"
# Remembers an answer for as long as its name server says, and not for CoreDNS's own least of 5 s.
CACHE = "cache {\n success 9984 3600 0\n denial 9984 3600 0\n }"
RBAC = "rbac.authorization.k8s.io"


def of(region):
    return [*rights(), *dns(region), storage(), endpoint_type()]


def bound(name, subject):
    return {"apiVersion": f"{RBAC}/v1", "kind": "ClusterRoleBinding", "metadata": {"name": f"drillmaster-{name}"},
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": name}, "subjects": [subject]}


def rights():
    account = {"kind": "ServiceAccount", "name": "coredns", "namespace": "kube-system"}
    reads = {"verbs": ["list", "watch"]}
    return [
        bound("system:node-proxier", {"apiGroup": RBAC, "kind": "User", "name": "system:kube-proxy"}),
        {"apiVersion": f"{RBAC}/v1", "kind": "ClusterRole", "metadata": {"name": "coredns"}, "rules": [
            {"apiGroups": [""], "resources": ["services", "pods", "namespaces"], **reads},
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], **reads}]},
        bound("coredns", account),
    ]


def dns(region):
    meta = {"name": "coredns", "namespace": "kube-system"}
    labels = {"k8s-app": "kube-dns"}
    corefile = (".:53 {\n errors\n ready\n kubernetes cluster.local in-addr.arpa\n"
                f" {CACHE}\n forward . {region.gateway}\n}}\n")
    container = {
        "name": "coredns",
        "image": IMAGE,
        "args": ["coredns", "-conf", "/etc/coredns/Corefile"],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns"}],
    }
    pod = {"serviceAccountName": "coredns", "dnsPolicy": "Default", "containers": [container],
           "volumes": [{"name": "config", "configMap": {"name": "coredns"}}]}
    ports = [{"name": name, "port": 53, "protocol": protocol} for name, protocol in (("dns", "UDP"), ("dns-tcp", "TCP"))]
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"Corefile": corefile}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": {
            "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {**meta, "name": "kube-dns"},
         "spec": {"clusterIP": region.cluster_dns, "selector": labels, "ports": ports}},
    ]


def storage():
    return {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": "drillmaster.test/host", "metadata": {
        "name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}}


def endpoint_type():
    """ExternalDNS's DNSEndpoint, as far as names need it."""
    text = {"type": "string"}
    endpoint = {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {
        "dnsName": text, "recordType": text, "recordTTL": {"type": "integer", "format": "int64"},
        "targets": {"type": "array", "items": text}}}
    spec = {"type": "object", "properties": {"endpoints": {"type": "array", "items": endpoint}}}
    status = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"type": "object", "properties": {"spec": spec, "status": status}}
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "dnsendpoints.externaldns.k8s.io",
                         "annotations": {"api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/external-dns/pull/2007"}},
            "spec": {"group": "externaldns.k8s.io", "scope": "Namespaced",
                     "names": {"kind": "DNSEndpoint", "listKind": "DNSEndpointList", "plural": "dnsendpoints", "singular": "dnsendpoint"},
                     "versions": [{"name": "v1alpha1", "served": True, "storage": True, "subresources": {"status": {}},
                                   "schema": {"openAPIV3Schema": schema}}]}}
