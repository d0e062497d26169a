/**
 * The network that misbehaves (src/testing/simulated-network.ts). Goal: each fault does what its name says
 * and nothing else, is counted when it strikes, and a seed is a run. That it is a network when nothing is
 * wrong, peers.conformance shows.
 */

import { deepStrictEqual, notStrictEqual, ok, strictEqual } from 'node:assert';
import { test } from 'node:test';
import {
  drawNetworkFaults,
  EPISODE_FAULTS,
  FRAME_FAULTS,
  type NetworkFaultMix,
} from '../src/testing/network-faults.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { seedOf } from './support/seed.ts';
import { type Heard, runHash, SimulatedCluster } from './support/simulated-cluster.ts';

const EVERYTHING: NetworkFaultMix = {
  frames: { drop: 0.05, duplicate: 0.05, reorder: 0.05, delay: 0.02, garble: 0.01, reset: 0.005 },
  episodesMs: { partition: 2_000, 'one-way-partition': 1_000, 'slow-link': 1_000, congestion: 1_000 },
  episodeMs: 500,
};

test('simulated network: the same seed is the same run, another one another', (t) => {
  const seed = seedOf(t);
  const first = runHash(seed, EVERYTHING);
  strictEqual(runHash(seed, EVERYTHING), first);
  notStrictEqual(runHash(seed + 1, EVERYTHING), first);
});

for (const kind of FRAME_FAULTS) {
  test(`simulated network: ${kind} happens when it is on, and nothing else does`, (t) => {
    const cluster = new SimulatedCluster(seedOf(t));
    cluster.connect();
    cluster.network.setFaults({ frames: { [kind]: 0.05 } });
    cluster.chatter(2_000);
    deepStrictEqual(struck(cluster), [kind]);
  });
}

for (const kind of EPISODE_FAULTS) {
  test(`simulated network: ${kind} happens when it is on, and nothing else does`, (t) => {
    const cluster = new SimulatedCluster(seedOf(t));
    cluster.connect();
    cluster.network.setFaults({ episodesMs: { [kind]: 300 }, episodeMs: 300 });
    cluster.chatter(20_000);
    deepStrictEqual(struck(cluster), [kind]);
  });
}

test('simulated network: without faults everything arrives once, in the order of its lane', (t) => {
  const cluster = new SimulatedCluster(seedOf(t));
  cluster.connect();
  for (let count = 0; count < 500; count++) cluster.say(1, 2, 100 + count);
  cluster.clock.advance(1_000);
  const numbers = cluster.heard.map(({ number }) => number);
  strictEqual(numbers.length, 500);
  deepStrictEqual(numbers, [...numbers].sort(byNumber));
  deepStrictEqual(struck(cluster), []);
});

test('simulated network: the dropped is missing, the doubled comes twice, the swapped overtakes', (t) => {
  const seed = seedOf(t);
  const hearing = (frames: NetworkFaultMix['frames'] & object): readonly Heard[] => {
    const cluster = new SimulatedCluster(seed);
    cluster.connect();
    cluster.network.setFaults({ frames });
    for (let count = 0; count < 1_000; count++) {
      cluster.say(1, 2);
      cluster.clock.advance(0.5);
    }
    cluster.clock.advance(60_000);
    const struckTimes = Object.values(cluster.network.counts).reduce((sum, times) => sum + times);
    ok(struckTimes > 20, 'it struck often');
    if ('drop' in frames) strictEqual(cluster.heard.length, 1_000 - struckTimes);
    if ('duplicate' in frames) strictEqual(cluster.heard.length, 1_000 + struckTimes);
    return cluster.heard;
  };
  strictEqual(isInOrder(hearing({ drop: 0.1 })), true);
  strictEqual(new Set(hearing({ duplicate: 0.1 }).map(({ number }) => number)).size, 1_000);
  const swapped = hearing({ reorder: 0.1 });
  strictEqual(swapped.length, 1_000);
  strictEqual(isInOrder(swapped), false);
  const late = hearing({ delay: 0.1 });
  strictEqual(late.length, 1_000);
  strictEqual(isInOrder(late), true);
});

test('simulated network: a garbled frame is refused by its reader, and costs the connection', (t) => {
  const cluster = new SimulatedCluster(seedOf(t));
  cluster.connect();
  cluster.network.setFaults({ frames: { garble: 1 } });
  cluster.say(1, 2, 5_000);
  cluster.clock.advance(10);
  cluster.network.heal();
  strictEqual(cluster.heard.length, 0);
  const refusals = Object.values(cluster.members[1]!.refusals()).reduce((sum, count) => sum + count);
  strictEqual(refusals, 1);
  const [lost] = cluster.events.map(({ event }) => event).filter(({ kind }) => kind === 'peer-disconnected');
  strictEqual(lost?.kind === 'peer-disconnected' && lost.reason.startsWith('refused: '), true);
  cluster.connect();
  cluster.say(1, 2);
  cluster.clock.advance(10);
  strictEqual(cluster.heard.length, 1);
});

test('simulated network: a reset loses what is on its way, and the line comes back', (t) => {
  const cluster = new SimulatedCluster(seedOf(t), { latency: { minMs: 5, tailMs: 0 } });
  cluster.connect();
  for (let count = 0; count < 10; count++) cluster.say(1, 2);
  cluster.network.setFaults({ frames: { reset: 1 } });
  cluster.say(1, 2);
  cluster.network.setFaults({});
  cluster.clock.advance(1);
  strictEqual(cluster.say(1, 2), false);
  cluster.connect();
  strictEqual(cluster.heard.length, 0);
  const [status] = cluster.members[0]!.peers();
  strictEqual(status!.drops['connection-lost'], 11);
  strictEqual(status!.drops.unreachable, 1);
  strictEqual(status!.connects, 2);
});

test('simulated network: a partition lasts until it ends; within a group everything arrives', (t) => {
  const cluster = new SimulatedCluster(seedOf(t), { size: 5 });
  cluster.connect();
  const [one, two, ...others] = cluster.addresses;
  const end = cluster.network.partition([[one!, two!], others]);
  cluster.chatter(20_000, 10);
  const isSplit = ({ from, to }: Heard): boolean => from <= 2 !== to <= 2;
  deepStrictEqual(cluster.heard.filter(isSplit), []);
  ok(cluster.heard.length > 0);
  deepStrictEqual(reachable(cluster, 1), [2]);
  deepStrictEqual(reachable(cluster, 5), [3, 4]);
  strictEqual(cluster.members[0]!.peers().at(-1)!.reason, 'no answer within 5000 ms');
  end();
  cluster.connect();
  cluster.say(1, 5);
  cluster.clock.advance(10);
  strictEqual(cluster.heard.some(isSplit), true);
});

test('simulated network: cut in one direction, the other one works until the silence is noticed', (t) => {
  const cluster = new SimulatedCluster(seedOf(t), { size: 2 });
  cluster.connect();
  const end = cluster.network.cutOneWay(cluster.addresses[0]!, cluster.addresses[1]!);
  cluster.say(1, 2);
  cluster.say(2, 1);
  cluster.clock.advance(4_000);
  deepStrictEqual(
    cluster.heard.map(({ from }) => from),
    [2],
  );
  cluster.clock.advance(4_000);
  deepStrictEqual([reachable(cluster, 1), reachable(cluster, 2)], [[], []]);
  end();
  cluster.connect();
});

test('simulated network: a slow path fills its lane, which says so, and says when there is room', (t) => {
  const cluster = new SimulatedCluster(seedOf(t), { size: 2, options: { bulkBytesMax: 100_000 } });
  cluster.connect();
  const end = cluster.network.slow(cluster.addresses[0]!, cluster.addresses[1]!, 10_000);
  let taken = 0;
  while (cluster.say(1, 2, 10_000)) taken++;
  strictEqual(taken, 10);
  strictEqual(cluster.members[0]!.room(2), 0);
  cluster.say(1, 2, 24, 'urgent');
  cluster.clock.advance(100);
  strictEqual(cluster.heard.length, 1); // The urgent one.
  cluster.clock.advance(3_000);
  ok(cluster.members[0]!.room(2) >= 30_000);
  strictEqual(cluster.heard.length, 1 + 3);
  end();
  cluster.clock.advance(8_000);
  strictEqual(cluster.heard.length, 11);
});

test('simulated network: a congested path takes nothing, and then everything at once', (t) => {
  const cluster = new SimulatedCluster(seedOf(t), { size: 2 });
  cluster.connect();
  cluster.network.hold(cluster.addresses[0]!, cluster.addresses[1]!, 1_000);
  for (let count = 0; count < 100; count++) {
    cluster.say(1, 2);
    cluster.clock.advance(9);
  }
  strictEqual(cluster.heard.length, 0);
  cluster.clock.advance(110);
  strictEqual(cluster.heard.length, 100);
});

test('simulated network: a killed process shows at once, a machine without power by its silence', (t) => {
  for (const [what, ms] of [
    ['process', 10],
    ['machine', 5_001],
  ] as const) {
    const cluster = new SimulatedCluster(seedOf(t));
    cluster.connect();
    const crashedAt = cluster.clock.now();
    cluster.members[1]!.crash(what);
    strictEqual(cluster.members[1]!.send(1, [], 'bulk'), false);
    cluster.clock.advance(ms);
    deepStrictEqual(reachable(cluster, 1), [3]);
    const lost = cluster.events.filter(({ event }) => event.kind === 'peer-disconnected');
    strictEqual(lost.length, 2);
    if (what === 'machine') ok(lost.every(({ at }) => at - crashedAt >= 5_000));
    cluster.start(2, 2);
    cluster.connect();
  }
});

test('simulated network: a copied replica at the address of the first is found out', (t) => {
  const cluster = new SimulatedCluster(seedOf(t));
  cluster.connect();
  const elsewhere = { replica: 2, host: 'copy', port: 7400 };
  const [first] = cluster.members.slice(1);
  const copy = cluster.start(2, 1, elsewhere);
  cluster.members[1] = first!;
  cluster.network.lead(cluster.addresses[1]!, elsewhere);
  first!.crash('process');
  cluster.clock.advance(10_000);
  deepStrictEqual(struck(cluster), ['same-identity']);
  deepStrictEqual([reachable(cluster, 1), reachable(cluster, 3)], [[3], [1]]);
  strictEqual(
    copy.peers().every(({ isReachable }) => !isReachable),
    true,
  );
});

test('simulated network: under any mix frames stay whole, and healed, all reach all', (t) => {
  const random = new SeededRandom(seedOf(t));
  for (let run = 0; run < 100; run++) {
    const cluster = new SimulatedCluster(random.u32(), { size: random.between(2, 7) });
    cluster.network.setFaults(drawNetworkFaults(random));
    cluster.chatter(1_000, 5);
    cluster.network.heal();
    // What is under way may still end a connection: late frames, and silences that were.
    cluster.clock.advance(10_000);
    cluster.connect();
    cluster.heard.length = 0;
    for (const { replica: from } of cluster.addresses) {
      for (const { replica: to } of cluster.addresses) if (from !== to) cluster.say(from, to);
    }
    cluster.clock.advance(30_000);
    const pairs = new Set(cluster.heard.map(({ from, to }) => `${from}-${to}`));
    strictEqual(pairs.size, cluster.addresses.length * (cluster.addresses.length - 1));
  }
});

test('simulated network: every kind of fault is drawn by some seed, and left out by another', (t) => {
  const random = new SeededRandom(seedOf(t));
  const mixes = Array.from({ length: 200 }, () => drawNetworkFaults(random));
  for (const kind of FRAME_FAULTS) strictEqual(new Set(mixes.map(({ frames }) => kind in frames!)).size, 2);
  for (const kind of EPISODE_FAULTS) {
    strictEqual(new Set(mixes.map(({ episodesMs }) => kind in episodesMs!)).size, 2);
  }
});

/** Kinds that struck at all. */
function struck({ network }: SimulatedCluster): string[] {
  return Object.entries(network.counts)
    .filter(([, times]) => times > 0)
    .map(([kind]) => kind);
}

function reachable({ members }: SimulatedCluster, replica: number): number[] {
  return members[replica - 1]!.peers()
    .filter(({ isReachable }) => isReachable)
    .map((peer) => peer.replica);
}

function isInOrder(heard: readonly Heard[]): boolean {
  const numbers = heard.map(({ number }) => number);
  return numbers.every((number, at) => at === 0 || number >= numbers[at - 1]!);
}

function byNumber(one: number, other: number): number {
  return one - other;
}
