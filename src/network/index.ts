/** `tidemark/network`: frames between replicas, authenticated, over TCP and TLS. */

export {
  DROP_KINDS,
  type DropKind,
  type Lane,
  type PeerAddress,
  type PeerCounters,
  type PeerEvent,
  type PeerHandler,
  type PeerIdentity,
  type PeerNetwork,
  type PeerStatus,
  REFUSAL_REASONS,
  type RefusalReason,
  URGENT_FRAME_BYTES_MAX,
} from './peer-network.ts';
export { PEER_DEFAULTS, type PeerOptions, type PeerTls } from './peer-options.ts';
export { type ListeningPeerNetwork, openPeers, type PeersInit } from './tcp-peers.ts';
