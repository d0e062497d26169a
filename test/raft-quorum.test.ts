/**
 * Quorums of Raft memberships (src/protocols/raft/quorum.ts) against brute force. Goal: what decides meets
 * what decided before, also while voters change. Method: every membership of up to four replicas, and every
 * subset of them, counted by hand.
 */
import { deepStrictEqual, ok, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { type Membership, membershipOf, towards } from '../src/protocols/raft/membership.ts';
import { hasQuorum, quorumReached, voteOutcome } from '../src/protocols/raft/quorum.ts';

const REPLICAS = [1, 2, 3, 4];

/** All subsets, the empty one included. */
function subsetsOf(ids: readonly number[]): number[][] {
  return Array.from({ length: 2 ** ids.length }, (_, bits) => ids.filter((_id, at) => (bits >> at) & 1));
}

const VOTERS = subsetsOf(REPLICAS).filter(({ length }) => length > 0);
const MEMBERSHIPS: Membership[] = VOTERS.flatMap((voters) => [
  membershipOf(voters),
  ...VOTERS.map((outgoing) => ({ ...membershipOf(voters), outgoing })),
]);

/** By hand: more than half of one set, and more than half of the other. */
function oracle({ voters, outgoing }: Membership, group: readonly number[]): boolean {
  const count = (set: readonly number[]): number => set.filter((id) => group.includes(id)).length;
  const isMost = (set: readonly number[]): boolean => set.length === 0 || count(set) >= set.length / 2 + 0.5;
  return isMost(voters) && isMost(outgoing);
}

test('raft quorum: a group decides exactly if it has a majority of both sets', () => {
  for (const membership of MEMBERSHIPS) {
    for (const group of subsetsOf(REPLICAS)) {
      const has = hasQuorum(membership, (id) => group.includes(id));
      strictEqual(has, oracle(membership, group), JSON.stringify({ membership, group }));
    }
  }
});

test('raft quorum: two quorums of one membership meet', () => {
  for (const membership of MEMBERSHIPS) {
    const quorums = subsetsOf(REPLICAS).filter((group) => oracle(membership, group));
    for (const one of quorums) for (const other of quorums) ok(one.some((id) => other.includes(id)));
  }
});

test('raft quorum: along any change, the quorums of two memberships that follow each other meet', () => {
  for (const before of VOTERS) {
    for (const voters of VOTERS) {
      const old = membershipOf(before);
      const joint = towards(old, { voters, learners: [], promoting: [] });
      const steps = [old, joint, membershipOf(voters)];
      for (let at = 1; at < steps.length; at++) {
        for (const one of subsetsOf(REPLICAS).filter((group) => oracle(steps[at - 1]!, group))) {
          for (const other of subsetsOf(REPLICAS).filter((group) => oracle(steps[at]!, group))) {
            ok(
              one.some((id) => other.includes(id)),
              JSON.stringify({ before, voters, one, other }),
            );
          }
        }
      }
    }
  }
});

test('raft quorum: the index that is reached is the highest that a quorum has', () => {
  const indices = [0, 1, 2];
  for (const membership of MEMBERSHIPS) {
    for (let code = 0; code < indices.length ** REPLICAS.length; code++) {
      const matches = REPLICAS.map((_, at) => Math.floor(code / indices.length ** at) % indices.length);
      const want = indices.findLast((index) =>
        oracle(
          membership,
          REPLICAS.filter((id) => matches[id - 1]! >= index),
        ),
      );
      strictEqual(
        quorumReached(membership, (id) => matches[id - 1]!),
        want,
      );
    }
  }
});

test('raft quorum: a vote is won, lost or open as brute force over the missing votes says', () => {
  for (const membership of MEMBERSHIPS) {
    for (const granted of subsetsOf(REPLICAS)) {
      for (const refused of subsetsOf(REPLICAS.filter((id) => !granted.includes(id)))) {
        const votes = new Map([...granted.map((id) => [id, true]), ...refused.map((id) => [id, false])] as [
          number,
          boolean,
        ][]);
        const canWin = oracle(
          membership,
          REPLICAS.filter((id) => !refused.includes(id)),
        );
        const want = oracle(membership, granted) ? 'won' : canWin ? 'open' : 'lost';
        deepStrictEqual(voteOutcome(membership, votes), want);
      }
    }
  }
});
