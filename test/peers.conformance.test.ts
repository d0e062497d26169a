/** One suite for every network between replicas (src/testing/peer-network-suite.ts). */

import { test } from 'node:test';
import {
  type PeerSuiteSubject,
  registerPeerNetworkSuite,
  type SuiteReplica,
} from '../src/testing/peer-network-suite.ts';
import { SimulatedClock } from '../src/testing/simulated-clock.ts';
import { SimulatedNetwork } from '../src/testing/simulated-network.ts';
import { Authority } from './support/peer-certificates.ts';
import { portSubject } from './support/peer-ports.ts';
import { drawSeed } from './support/seed.ts';

const HOUR_MS = 3_600_000;

registerPeerNetworkSuite({
  name: 'peers over tcp',
  test,
  open: () => Promise.resolve(portSubject(() => Promise.resolve({}))),
});

const authority = await Authority.create();
registerPeerNetworkSuite({
  name: 'peers over tls',
  test,
  open: () =>
    Promise.resolve(
      portSubject(async ({ clusterId, replica }) => ({
        tls: await authority.issue(`URI:tidemark:${clusterId}:${replica}`),
      })),
    ),
});

const seed = drawSeed();
test('peers: the seed of this run', (t) => t.diagnostic(`reproduce with SEED=${seed}`));
registerPeerNetworkSuite({
  name: 'simulated peers',
  test,
  open: () => Promise.resolve(simulatedSubject()),
});

function simulatedSubject(): PeerSuiteSubject {
  const clock = new SimulatedClock();
  const network = new SimulatedNetwork({ clock, seed });
  let opened = 0;
  return {
    open(identity, bulkBytesMax) {
      const told: Pick<SuiteReplica, 'frames' | 'events' | 'rooms'> = { frames: [], events: [], rooms: [] };
      const address = { replica: identity.replica, host: 'simulated', port: ++opened };
      const peers = network.open({
        identity,
        address,
        peers: [],
        handler: {
          frame: (from, bytes, lane) => told.frames.push({ from, bytes, lane }),
          event: (event) => told.events.push(event),
          room: (to) => told.rooms.push(to),
        },
        options: { bulkBytesMax },
      });
      return Promise.resolve({ network: peers, address, ...told });
    },
    until(what, holds) {
      const from = clock.now();
      while (!holds()) {
        if (clock.now() - from > HOUR_MS || !clock.step()) throw new Error(`never: ${what}`);
      }
      return Promise.resolve();
    },
    settle() {
      clock.advance(1_000);
      return Promise.resolve();
    },
    close: () => Promise.resolve(),
  };
}
