/**
 * The sentences of the Raft paper (Ongaro & Ousterhout 2014, extended version: figure 2, figure 3, sections 5
 * to 8) and of the dissertation (Ongaro 2014: chapters 3, 4, 6, 9 and 10) that are rules, each held to the
 * core. Where we do something else on purpose, the test says so, and docs/raft.md why.
 */
import { deepStrictEqual, ok, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { toIndex, toTerm } from '../src/base/positions.ts';
import type { Message } from '../src/protocols/raft/index.ts';
import { RaftScript } from './support/raft-script.ts';

/** Replicas 1 to `count`, with 1 leading. */
function led(count = 3, ...lines: string[]): RaftScript {
  const script = new RaftScript();
  script.run(`cluster ${count}`, 'elect 1', 'settle', 'tick 1 2', 'settle', ...lines);
  return script;
}

/** A message of another replica, by hand. */
function say(script: RaftScript, message: MessageOf<Message>): void {
  script.host(message.to).receive({ incarnation: 1, ...message }, []);
}

type MessageOf<Each> = Each extends Message ? Omit<Each, 'incarnation'> : never;

function append(fields: Record<string, unknown> = {}): Message {
  const entries = { previousIndex: 1, previousTerm: 0, runs: [], sizes: [], memberships: [], committed: 0 };
  return {
    kind: 'append',
    from: 1,
    to: 2,
    incarnation: 1,
    term: 1,
    ...entries,
    ...fields,
  } as unknown as Message;
}

// Figure 2: state

test('raft: fig. 2, currentTerm and votedFor are updated on stable storage before responding to RPCs', () => {
  const script = new RaftScript();
  script.run('cluster 3', 'tick 2 12');
  say(script, {
    kind: 'vote',
    from: 1,
    to: 2,
    term: toTerm(1),
    lastIndex: toIndex(1),
    lastTerm: toTerm(0),
    cause: 'timeout',
  });
  deepStrictEqual(script.underway('2>1', 'vote-reply'), []);
  script.run('status 2');
  strictEqual(script.underway('2>1', 'vote-reply')[0]?.isGranted, true);
  strictEqual(script.host(2).disk.vote, 1);
});

test('raft: fig. 2, log[] is updated on stable storage before responding to RPCs', () => {
  const script = led(3, 'propose 1', 'deliver 1>2');
  deepStrictEqual(script.underway('2>1', 'append-reply'), []);
  script.run('log 2');
  strictEqual(script.underway('2>1', 'append-reply')[0]?.match, 3);
});

test('raft: fig. 2, commitIndex and currentTerm increase monotonically', () => {
  const script = led(3, 'propose 1', 'settle', 'transfer 1 2', 'settle', 'propose 2', 'settle');
  for (const id of [1, 2, 3]) {
    const commits = script.seen(id, 'commit').map(({ index }) => index);
    const terms = script.seen(id, 'persist-status').map(({ term }) => term);
    deepStrictEqual(
      commits,
      commits.toSorted((one, other) => one - other),
    );
    deepStrictEqual(
      terms,
      terms.toSorted((one, other) => one - other),
    );
  }
});

test('raft: fig. 2, nextIndex is initialized to leader last log index + 1', () => {
  const script = new RaftScript();
  script.run('cluster 3 terms 1=1,1 2=1,1 3=1,1', 'elect 1');
  const first = script.seen(1, 'send').find(({ message }) => message.kind === 'append')!.message;
  strictEqual(first.kind === 'append' && first.previousIndex, 3);
});

test('raft: fig. 2, matchIndex is initialized to 0 and increases monotonically', () => {
  const script = led(3, 'propose 1', 'settle');
  const before = script.view(1).peers[0]!.match;
  script.host(1).receive(
    {
      ...append({ from: 2, to: 1 }),
      kind: 'append-reply',
      match: 1,
      received: 1,
      isRecovering: false,
    } as never,
    [],
  );
  strictEqual(script.view(1).peers[0]!.match, before);
});

// Figure 2: AppendEntries RPC

test('raft: fig. 2, AppendEntries 1: reply false if term < currentTerm', () => {
  const script = led(3);
  script.host(2).receive(append({ from: 3, term: 0 }), []);
  const [reply] = script.underway('2>3', 'heartbeat-reply');
  strictEqual(reply?.term, 1);
  strictEqual(script.view(2).leader, 1);
});

test('raft: fig. 2, AppendEntries 2: reply false if the log has no entry at prevLogIndex', () => {
  const script = led(3);
  script.host(2).receive(append({ previousIndex: 9, previousTerm: 1 }), []);
  strictEqual(script.underway('2>1', 'append-reject')[0]?.lastIndex, 2);
});

test('raft: fig. 2, AppendEntries 2: reply false if the term at prevLogIndex is another', () => {
  const script = new RaftScript();
  script.run('cluster 3 terms 1=2,2 2=1,1 3=2,2');
  script.host(2).receive(append({ term: 3, previousIndex: 3, previousTerm: 2 }), []);
  script.run('status 2');
  const [reject] = script.underway('2>1', 'append-reject');
  deepStrictEqual([reject?.hintIndex, reject?.hintTerm], [3, 1]);
});

test('raft: fig. 2, AppendEntries 3: an entry that conflicts is deleted, and all that follow it', () => {
  const script = new RaftScript();
  script.run('cluster 3 terms 1=1,2 2=1,1,1,1 3=1,2', 'elect 1');
  const [cut] = script.seen(2, 'append-log');
  deepStrictEqual([cut?.truncateAfter, cut?.first], [2, 3]);
  strictEqual(script.view(2).lastTerm, 3);
});

test('raft: fig. 2, AppendEntries 3: an entry that does not conflict is not deleted', () => {
  const script = led(3, 'propose 1', 'propose 1', 'deliver 1>2', 'deliver 1>2');
  // The first of the two comes again, later: what is behind it stays.
  const runs = [{ first: 3, term: 1 }];
  script.host(2).receive(append({ previousIndex: 2, previousTerm: 1, runs, sizes: [8] }), []);
  strictEqual(script.view(2).last, 4);
});

test('raft: fig. 2, AppendEntries 4: any new entries not already in the log are appended', () => {
  const script = led(3, 'propose 1', 'deliver 1>2');
  const runs = [{ first: toIndex(3), term: toTerm(1) }];
  const entries = script.host(2).entries.slice(-1);
  script
    .host(2)
    .receive(append({ previousIndex: 2, previousTerm: 1, runs, sizes: [8, 8] }), [entries[0]!, entries[0]!]);
  const last = script.seen(2, 'append-log').at(-1)!;
  deepStrictEqual([last.first, last.last], [4, 4]);
});

test('raft: fig. 2, AppendEntries 5: commitIndex = min(leaderCommit, index of last new entry)', () => {
  const script = led(3, 'propose 1', 'deliver 1>2');
  script.host(2).receive(append({ previousIndex: 2, previousTerm: 1, committed: 9 }), []);
  strictEqual(script.view(2).committed, 3, 'entry 3 came from this leader, and there is none after it');
});

test('raft: fig. 2, AppendEntries 5: what the leader has not shown to be equal is not committed', () => {
  const script = new RaftScript();
  script.run('cluster 3 terms 1=1 2=1,1,1 3=1');
  script.host(2).receive(append({ term: 4, previousIndex: 2, previousTerm: 1, committed: 4 }), []);
  strictEqual(script.view(2).committed, 2);
});

// Figure 2: RequestVote RPC

for (const [name, terms, candidate, isGranted] of [
  ['a shorter log of the same term', '1,1', { lastIndex: 2, lastTerm: 1 }, false],
  ['an equal log', '1,1', { lastIndex: 3, lastTerm: 1 }, true],
  ['a longer log of the same term', '1,1', { lastIndex: 4, lastTerm: 1 }, true],
  ['a shorter log with a later last term', '1,1,1', { lastIndex: 2, lastTerm: 2 }, true],
  ['a longer log with an earlier last term', '2', { lastIndex: 9, lastTerm: 1 }, false],
] as const) {
  test(`raft: §5.4.1, a vote for ${name} is ${isGranted ? 'granted' : 'refused'}`, () => {
    const script = new RaftScript();
    script.run(`cluster 3 terms 2=${terms}`, 'tick 2 10');
    const { lastIndex, lastTerm } = candidate;
    const log = { lastIndex: toIndex(lastIndex), lastTerm: toTerm(lastTerm) };
    say(script, { kind: 'vote', from: 1, to: 2, term: toTerm(5), ...log, cause: 'timeout' });
    script.run('status 2');
    strictEqual(script.underway('2>1', 'vote-reply')[0]?.isGranted, isGranted);
  });
}

test('raft: fig. 2, RequestVote 1: reply false if term < currentTerm', () => {
  const script = led(3, 'tick 2 10');
  say(script, {
    kind: 'vote',
    from: 3,
    to: 2,
    term: toTerm(0),
    lastIndex: toIndex(9),
    lastTerm: toTerm(0),
    cause: 'timeout',
  });
  const [reply] = script.underway('2>3', 'vote-reply');
  deepStrictEqual([reply?.isGranted, reply?.term], [false, 1]);
});

test('raft: §5.2, at most one vote in a given term, first come first served', () => {
  const script = new RaftScript();
  script.run('cluster 3', 'tick 3 10');
  for (const from of [1, 2, 1]) {
    const log = { lastIndex: toIndex(1), lastTerm: toTerm(0) };
    say(script, { kind: 'vote', from, to: 3, term: toTerm(1), ...log, cause: 'timeout' });
  }
  script.run('status 3');
  deepStrictEqual(
    script.underway('3>1', 'vote-reply').map(({ isGranted }) => isGranted),
    [true, true],
  );
  strictEqual(script.underway('3>2', 'vote-reply')[0]?.isGranted, false);
});

// Figure 2: rules for servers

test('raft: fig. 2, all servers: a higher term is taken, and makes a follower', () => {
  const script = led(3);
  say(script, {
    ...append(),
    kind: 'heartbeat-reply',
    from: 2,
    to: 1,
    term: toTerm(7),
    round: 1,
    match: toIndex(1),
    received: toIndex(1),
    isRecovering: false,
  } as never);
  deepStrictEqual([script.view(1).role, script.view(1).term], ['follower', 7]);
});

test('raft: fig. 2, followers: without a leader for the election timeout, convert to candidate', () => {
  const script = new RaftScript();
  script.run('cluster 3', 'tick 1 10');
  strictEqual(script.view(1).role, 'follower');
  script.run('tick 1 10');
  strictEqual(script.view(1).role, 'pre-candidate', 'by pre-vote: dissertation chapter 9');
});

test('raft: fig. 2, candidates: raise currentTerm, vote for self, reset timer, ask all', () => {
  const script = new RaftScript();
  script.run('cluster 3', 'tick 2 12', 'tick 1 20', 'deliver 1>2', 'deliver 2>1', 'status 1');
  deepStrictEqual([script.host(1).disk.term, script.host(1).disk.vote], [1, 1]);
  strictEqual(script.underway('1>2', 'vote').length, 1);
  strictEqual(script.underway('1>3', 'vote').length, 1);
});

test('raft: fig. 2, candidates: if votes come from a majority, become leader', () => {
  const script = new RaftScript();
  script.run('cluster 5', 'tick 1 11', 'tick 2 11', 'tick 3 11');
  script.run('tick 1 20', 'deliver 1>2', 'deliver 1>3', 'deliver 2>1 9', 'deliver 3>1 9', 'status 1');
  script.run('deliver 1>2', 'status 2', 'deliver 2>1 9');
  strictEqual(script.view(1).role, 'candidate', 'two of five');
  script.run('deliver 1>3', 'status 3', 'deliver 3>1 9');
  strictEqual(script.view(1).role, 'leader');
});

test('raft: fig. 2, candidates: if AppendEntries comes from a new leader, convert to follower', () => {
  const script = new RaftScript();
  script.run('cluster 3', 'tick 2 12', 'tick 1 20', 'deliver 1>2', 'deliver 2>1');
  strictEqual(script.view(1).role, 'candidate');
  script.host(1).receive(append({ from: 3, to: 1 }), []);
  deepStrictEqual([script.view(1).role, script.view(1).leader], ['follower', 3]);
});

test('raft: fig. 2, candidates: if the election timeout elapses, start a new election', () => {
  const script = new RaftScript();
  script.run('cluster 3', 'tick 2 12', 'tick 1 20', 'deliver 1>2', 'deliver 2>1');
  script.run('tick 1 20');
  strictEqual(script.view(1).role, 'pre-candidate');
});

test('raft: §5.2, election timeouts are chosen randomly from a fixed interval', () => {
  const timeouts = new Set<number>();
  for (let id = 1; id <= 40; id++) {
    const script = new RaftScript();
    script.run(`cluster ${id === 1 ? 2 : id}`);
    let ticks = 0;
    for (; script.view(id).role === 'follower'; ticks++) script.run(`tick ${id}`);
    ok(ticks >= 11 && ticks <= 20, `${ticks} ticks`);
    timeouts.add(ticks);
  }
  ok(timeouts.size >= 5);
});

test('raft: §5.2, leaders send periodic heartbeats to maintain their authority', () => {
  const script = led(3, 'tick 1 2');
  for (const to of [2, 3]) strictEqual(script.underway(`1>${to}`, 'heartbeat').length, 1);
});

test('raft: fig. 2, leaders: upon election, send to each server, before anything else', () => {
  const script = new RaftScript();
  script.run('cluster 3', 'tick 2 12', 'tick 1 20', 'deliver 1>2', 'deliver 2>1', 'status 1');
  script.run('deliver 1>2', 'status 2', 'deliver 2>1 9');
  strictEqual(script.underway('1>2', 'append').length, 1);
  strictEqual(script.underway('1>3', 'append').length, 1);
});

test('raft: fig. 2, leaders: respond after the entry is committed', () => {
  const script = led(3, 'propose 1', 'log 1');
  strictEqual(script.view(1).committed, 2);
  script.run('deliver 1>2', 'log 2', 'deliver 2>1 9');
  strictEqual(script.view(1).committed, 3);
});

test('raft: fig. 2, leaders: if last log index >= nextIndex, send the entries from nextIndex on', () => {
  const script = led(3, 'propose 1');
  const [message] = script.underway('1>2', 'append');
  deepStrictEqual([message?.previousIndex, message?.sizes.length], [2, 1]);
});

test('raft: fig. 2, leaders: if AppendEntries fails for inconsistency, decrement nextIndex and retry', () => {
  const script = new RaftScript();
  script.run('cluster 3 terms 1=1,2 2=1 3=1,2', 'elect 1', 'settle');
  deepStrictEqual([script.view(2).last, script.view(2).committed], [4, 4]);
});

test('raft: §5.3, the leader never overwrites or deletes entries in its log', () => {
  const script = led(3, 'propose 1', 'settle', 'transfer 1 2', 'settle', 'propose 2', 'settle');
  for (const id of [1, 2]) {
    deepStrictEqual(
      script.seen(id, 'append-log').filter(({ truncateAfter }) => truncateAfter !== null),
      [],
    );
  }
});

test('raft: §5.4.2, only entries from the current term are committed by counting replicas', () => {
  const script = new RaftScript();
  script.run(
    'cluster 3 terms 1=1,2 2=1 3=1',
    'tick 2 10',
    'tick 1 20',
    'deliver 1>2',
    'deliver 2>1',
    'status 1',
  );
  script.run('deliver 1>2', 'status 2', 'deliver 2>1 9');
  script.host(1).receive(
    {
      ...append({ from: 2, to: 1, term: 3 }),
      kind: 'append-reply',
      match: 3,
      received: 3,
      isRecovering: false,
    } as never,
    [],
  );
  strictEqual(script.view(1).peers[0]?.match, 3);
  strictEqual(script.view(1).committed, 1, 'entry 3 of term 2 is on two of three');
  script.host(1).receive(
    {
      ...append({ from: 2, to: 1, term: 3 }),
      kind: 'append-reply',
      match: 4,
      received: 4,
      isRecovering: false,
    } as never,
    [],
  );
  script.run('log 1');
  strictEqual(script.view(1).committed, 4, 'entry 4 of term 3 commits both');
});

test('raft: §5.5, RPCs are idempotent: what comes again causes no harm', () => {
  const script = led(3, 'propose 1', 'repeat 1>2', 'repeat 1>2', 'deliver 1>2');
  strictEqual(script.seen(2, 'append-log').filter(({ first }) => first === 3).length, 1);
  strictEqual(script.view(2).last, 3);
});

// Figure 3

test('raft: fig. 3, two leaders of one term are a violation, which stops the replica', () => {
  const script = led(3);
  script.host(2).receive(append({ from: 3 }), []);
  deepStrictEqual(script.seen(2, 'violation')[0]?.violation, {
    kind: 'two-leaders',
    term: 1,
    one: 1,
    other: 3,
  });
  strictEqual(script.view(2).condition, 'stopped');
  deepStrictEqual(script.run('propose 2'), ['2 reject reason=not-leader leader=0']);
});

test('raft: fig. 3, a leader that contradicts what is committed is a violation', () => {
  const script = led(3, 'propose 1', 'settle');
  const runs = [{ first: 3, term: 2 }];
  script
    .host(2)
    .receive(append({ from: 3, term: 2, previousIndex: 2, previousTerm: 1, runs, sizes: [8] }), []);
  strictEqual(script.seen(2, 'violation')[0]?.violation.kind, 'committed-contradicted');
});

// Section 6, and dissertation chapter 4

test('raft: §6, log entries are replicated to all servers in both configurations', () => {
  const script = led(4, 'change 1 voters=1,2', 'propose 1');
  for (const to of [2, 3, 4]) ok(script.underway(`1>${to}`, 'append').length > 0);
});

test('raft: §6, agreement requires separate majorities from both the old and new configurations', () => {
  const script = led(3, 'change 1 voters=1', 'log 1');
  strictEqual(script.view(1).committed, 2, 'all of the new one is not most of the old one');
  script.run('deliver 1>2', 'log 2', 'deliver 2>1 9');
  strictEqual(script.view(1).committed >= 3, true);
});

test('raft: §6, a server always uses the latest configuration in its log, committed or not', () => {
  const script = led(3, 'change 1 voters=1,2', 'deliver 1>3');
  deepStrictEqual(script.view(3).membership.outgoing, [1, 2, 3]);
  strictEqual(script.view(3).committed, 2);
});

test('raft: §6, the leader steps down once it has committed the configuration without it', () => {
  const script = led(3, 'change 1 voters=2,3');
  strictEqual(script.view(1).role, 'leader');
  script.run('settle');
  strictEqual(script.view(1).role, 'follower');
});

test('raft: §6, servers disregard RequestVote when they believe a current leader exists', () => {
  const script = led(3);
  say(script, {
    kind: 'vote',
    from: 3,
    to: 2,
    term: toTerm(9),
    lastIndex: toIndex(9),
    lastTerm: toTerm(8),
    cause: 'timeout',
  });
  strictEqual(script.view(2).term, 1, 'it neither votes nor takes the term');
});

test('raft: §6, new servers join as non-voting members and do not count for majorities', () => {
  const script = led(
    3,
    'join 4',
    'change 1 learners=4',
    'settle',
    'propose 1',
    'deliver 1>4',
    'log 4',
    'deliver 4>1 9',
    'log 1',
  );
  strictEqual(script.view(1).committed, 3, 'the leader and a learner are one voter of three');
});

test('raft: thesis §4.1, a change waits until the last one is committed', () => {
  const script = led(3, 'change 1 voters=1,2');
  deepStrictEqual(script.run('change 1 voters=1'), ['1 reject reason=not-ready leader=1']);
});

test('raft: thesis §4.2.2, a leader left out does not count itself in majorities', () => {
  const script = led(3, 'change 1 voters=2,3', 'log 1', 'deliver 1>2', 'log 2', 'deliver 2>1');
  strictEqual(script.view(1).committed, 2, 'one of the two that shall be');
  script.run('deliver 1>3', 'log 3', 'deliver 3>1');
  strictEqual(script.view(1).committed, 3);
});

test('raft: thesis §4.2.2, a server that its latest configuration leaves out still stands', () => {
  const script = led(3, 'change 1 voters=2,3', 'log 1', 'deliver 1>2', 'deliver 1>3', 'log 2', 'log 3');
  script.run('deliver 2>1', 'deliver 3>1');
  deepStrictEqual(script.view(1).membership, { voters: [2, 3], outgoing: [], learners: [], promoting: [] });
  script.run('crash 1 9', 'restart 1', 'tick 1 20');
  strictEqual(script.view(1).role, 'pre-candidate');
});

// Section 7

test('raft: §7, the leader sends a snapshot when it has discarded the next entry', () => {
  const script = led(
    3,
    'propose 1',
    'settle without 3',
    'compact 1 3',
    'tick 1 2',
    'deliver 1>3 9',
    'deliver 3>1 9',
  );
  deepStrictEqual(script.underway('1>3', 'offer-state')[0]?.state, { index: 3, term: 1, root: '3' });
});

test('raft: §7, if the log has the last included entry, what follows it is retained', () => {
  const script = led(3, 'propose 1', 'propose 1', 'deliver 1>3', 'deliver 1>3', 'log 3', 'log 3');
  const { host } = { host: script.host(3) };
  const membership = { index: toIndex(1), membership: script.view(1).membership };
  host.step({
    kind: 'state-installed',
    state: { index: toIndex(3), term: toTerm(1), root: '3' },
    membership,
  });
  deepStrictEqual([script.view(3).last, script.view(3).committed], [4, 3]);
});

test('raft: §7, else the entire log is discarded', () => {
  const script = new RaftScript();
  script.run('cluster 3 terms 3=1,1,1');
  const membership = { index: toIndex(1), membership: script.view(1).membership };
  const state = { index: toIndex(3), term: toTerm(2), root: '3' };
  script.host(3).step({ kind: 'state-installed', state, membership });
  deepStrictEqual([script.view(3).last, script.view(3).lastTerm, script.view(3).compactedTo], [3, 2, 3]);
});

// Section 8, and dissertation chapters 3, 6, 9 and 10

test('raft: §8, a leader commits a blank no-op entry at the start of its term', () => {
  const script = led(3);
  const [first] = script.seen(1, 'append-log');
  strictEqual(first?.content.kind, 'empty');
  strictEqual(script.view(1).committed, 2);
});

test('raft: §8, a leader exchanges heartbeats with a majority before it answers a read', () => {
  const script = led(3, 'read 1');
  deepStrictEqual(script.seen(1, 'read-ready'), []);
  script.run('deliver 1>2', 'deliver 2>1');
  strictEqual(script.seen(1, 'read-ready').length, 1);
});

test('raft: thesis §6.4, answers to rounds before the read do not count', () => {
  const script = led(3, 'tick 1 2', 'deliver 1>2', 'read 1', 'deliver 2>1');
  deepStrictEqual(script.seen(1, 'read-ready'), []);
});

test('raft: thesis §6.2, a leader that hears no majority for an election timeout steps down', () => {
  const script = led(3, 'tick 1 9');
  strictEqual(script.view(1).role, 'leader');
  script.run('tick 1 2');
  strictEqual(script.view(1).role, 'follower');
});

test('raft: thesis §3.10, the target of a transfer stands without waiting for its timeout', () => {
  const script = led(3, 'transfer 1 2', 'deliver 1>2');
  deepStrictEqual([script.view(2).role, script.view(2).term], ['candidate', 2]);
});

test('raft: thesis §3.10, a transfer that takes an election timeout is aborted', () => {
  const script = led(3, 'transfer 1 2', 'tick 1 5', 'settle without 2', 'tick 1 5');
  strictEqual(script.seen(1, 'transfer-ended')[0]?.outcome, 'aborted');
  strictEqual(script.run('propose 1')[0]?.startsWith('1 append-log'), true);
});

test('raft: thesis §9.6, a pre-vote raises no term, at neither side', () => {
  const script = led(3, 'tick 3 20', 'deliver 3>2', 'deliver 3>1');
  for (const id of [1, 2, 3]) strictEqual(script.view(id).term, 1);
});

test('raft: thesis §9.6, a server that hears a leader refuses pre-votes', () => {
  const script = led(3, 'tick 3 20', 'deliver 3>2');
  strictEqual(script.underway('2>3', 'pre-vote-reply')[0]?.isGranted, false);
});

test('raft: thesis §10.2.1, a leader writes to disk in parallel with replicating', () => {
  const script = led(
    3,
    'propose 1',
    'deliver 1>2',
    'deliver 1>3',
    'log 2',
    'log 3',
    'deliver 2>1',
    'deliver 3>1',
  );
  strictEqual(script.view(1).committed, 3);
  strictEqual(script.view(1).durable, 2);
});

test('raft: thesis §10.2.2, entries are sent before earlier ones are acknowledged', () => {
  const script = led(3, 'propose 1', 'propose 1', 'propose 1');
  deepStrictEqual(
    script.underway('1>2', 'append').map(({ previousIndex }) => previousIndex),
    [2, 3, 4],
  );
});
