/** Replicas on real ports of this machine, for tests. */

import { setTimeout as sleep } from 'node:timers/promises';
import { systemChance } from '../../src/base/chance.ts';
import { systemClock } from '../../src/base/time.ts';
import type { PeerAddress, PeerHandler, PeerIdentity } from '../../src/network/peer-network.ts';
import type { PeerOptions } from '../../src/network/peer-options.ts';
import { type ListeningPeerNetwork, openPeers } from '../../src/network/tcp-peers.ts';
import type { PeerSuiteSubject, SuiteReplica } from '../../src/testing/peer-network-suite.ts';

export const HOST = '127.0.0.1';
export const CLUSTER = 'c0ffee00c0ffee00c0ffee00c0ffee00';

/** Long enough for a machine that does much else: it says only that something never happens. */
const NEVER_MS = 120_000;

/** Pings and attempts follow each other quickly; silence is left as long as it is by default. */
const QUICK: Partial<PeerOptions> = { pingMs: 20, retryMsMax: 50 };

export interface PortReplica extends SuiteReplica {
  readonly network: ListeningPeerNetwork;
}

export function identityOf(replica: number, start = 1): PeerIdentity {
  return { clusterId: CLUSTER, replica, incarnation: 1, start, timeline: 1 };
}

/** Opens a replica without peers on a free port, and records what it is told. */
export async function openReplica(
  identity: PeerIdentity,
  options: Partial<PeerOptions> = {},
): Promise<PortReplica> {
  const told = { frames: [], events: [], rooms: [] } as Pick<SuiteReplica, 'frames' | 'events' | 'rooms'>;
  const handler: PeerHandler = {
    frame: (from, bytes, lane) => told.frames.push({ from, bytes, lane }),
    event: (event) => told.events.push(event),
    room: (to) => told.rooms.push(to),
  };
  const network = await openPeers({
    identity,
    peers: [],
    options: { host: HOST, port: 0, ...QUICK, ...options },
    handler,
    clock: systemClock,
    chance: systemChance,
  });
  const address: PeerAddress = { replica: identity.replica, host: HOST, port: network.port };
  return { network, address, ...told };
}

/** Waits for what is to happen, however slow the machine is. */
export async function until(what: string, holds: () => boolean): Promise<void> {
  const began = performance.now();
  while (!holds()) {
    if (performance.now() - began > NEVER_MS) throw new Error(`never: ${what}`);
    await sleep(2);
  }
}

/** A subject of the suite, on ports. */
export function portSubject(
  optionsOf: (identity: PeerIdentity) => Promise<Partial<PeerOptions>>,
): PeerSuiteSubject {
  const open: SuiteReplica[] = [];
  return {
    async open(identity, bulkBytesMax) {
      const replica = await openReplica(identity, { bulkBytesMax, ...(await optionsOf(identity)) });
      open.push(replica);
      return replica;
    },
    until,
    settle: () => sleep(50),
    async close() {
      await Promise.all(open.map(({ network }) => network.close()));
    },
  };
}
