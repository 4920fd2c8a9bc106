"""All peers by name."""

from tools.benchmark.peers import ants_syn, convexadam, demons, dipy_syn, elastix, greedy, identity
from tools.benchmark.peers.base import Peer

PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        identity.PEER,
        ants_syn.PEER,
        ants_syn.FULL,
        ants_syn.CROSS_CORRELATION,
        ants_syn.MEAN_SQUARES,
        greedy.PEER,
        greedy.MUTUAL,
        convexadam.PEER,
        demons.PEER,
        elastix.PEER,
        dipy_syn.PEER,
    )
}
