"""Network namespaces, their links and routes, and how a region is cut off. Nothing here is linked to the machine's own network."""

import subprocess

from lab import DNS, OUTSIDE, RESOLVER, run


def inside(namespace, argv):
    """A command in a network namespace. Not `ip netns exec`: that gives a mount namespace of its own, and kubelet and containerd
    must see each other's mounts."""
    return ["nsenter", f"--net=/run/netns/{namespace}", *(str(word) for word in argv)]


def ip(namespace, lines):
    run("ip", "-n", namespace, "-batch", "-", text=lines)


def create(namespace):
    run("ip", "netns", "add", namespace)
    ip(namespace, "link set lo up")
    run(*inside(namespace, ["sysctl", "-qw", "net.ipv4.ip_forward=1"]))


def outside(lab):
    create(lab.outside)
    ip(lab.outside, "".join(f"addr add {address}/32 dev lo\n" for address in (OUTSIDE, DNS, RESOLVER)))


def region(lab, region):
    """A region's router, with a bridge that its nodes hang on and a link to the outside."""
    create(region.router)
    link = f"198.18.{region.number}"
    run("ip", "link", "add", f"to-{region.name}", "netns", lab.outside, "type", "veth",
        "peer", "name", "wan", "netns", region.router)
    ip(lab.outside, f"""addr add {link}.1/30 dev to-{region.name}
        link set to-{region.name} up
        route add {region.addresses} via {link}.2""")
    ip(region.router, f"""link add nodes type bridge
        addr add {region.gateway}/24 dev nodes
        link set nodes up
        addr add {link}.2/30 dev wan
        link set wan up
        route add unreachable {region.addresses}
        route add default via {link}.1 src {region.gateway}""")


def node(region, n):
    """A node's namespace, hung on the region's bridge; the region sends its pods' addresses there."""
    namespace = region.namespace(n)
    create(namespace)
    run("ip", "link", "add", f"node{n}", "netns", region.router, "type", "veth",
        "peer", "name", "eth0", "netns", namespace)
    ip(region.router, f"link set node{n} master nodes\nlink set node{n} up")
    ip(namespace, f"addr add {region.address(f'0.{10 + n}')}/24 dev eth0")
    connect_node(region, n)
    ip(region.router, f"route add {region.address(f'{n}.0/24')} via {region.address(f'0.{10 + n}')}")


def connect_node(region, n):
    ip(region.namespace(n), f"link set eth0 up\nroute replace default via {region.gateway}")


def disconnect_node(region, n):
    ip(region.namespace(n), "link set eth0 down")


def nft(namespace, rules):
    run(*inside(namespace, ["nft", "-f", "-"]), text=rules)


def mend(lab, region):
    nft(region.router, "table inet cut\ndelete table inet cut\n")


def cut(lab, region):
    """A black hole: what is sent into the region or out of it vanishes, as when a site is lost."""
    mend(lab, region)
    nft(region.router, """table inet cut {
        chain in { type filter hook prerouting priority raw; iifname "wan" drop; }
        chain out { type filter hook postrouting priority srcnat + 10; oifname "wan" drop; }
    }""")


def end(lab):
    """Removes the namespaces of a folder."""
    for line in run("ip", "netns", "list").splitlines():
        name = line.split()[0]
        if name == lab.outside or name.startswith(f"{lab.outside}-"):
            subprocess.run(["ip", "netns", "del", name], check=False)
