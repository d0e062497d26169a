/**
 * The Raft core against the checklist of storage faults (the letters and numbers in the names). Goal: what a
 * disk lost, or what a copy of a disk says, neither elects anybody nor commits anything. Method: a few cores,
 * moved by hand. Of the lines that a host has to keep, the tests show what the core gives it to do so.
 */
import { deepStrictEqual, ok, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { toIndex, toTerm } from '../src/base/positions.ts';
import { type Message, Raft } from '../src/protocols/raft/index.ts';
import { RaftScript } from './support/raft-script.ts';

function led(...lines: string[]): RaftScript {
  const script = new RaftScript();
  script.run('cluster 3', 'elect 1', 'settle', 'tick 1 2', 'settle', ...lines);
  return script;
}

/** The replica was lost with its disk, and came back empty. */
const REFILLED = ['crash 3', 'recovering 3', 'tick 1 2', 'settle', 'tick 1 2', 'settle'];

test('raft faults C3: a replica with a damaged log votes for nobody, and is filled again', () => {
  const script = led('propose 1', 'settle', 'crash 3', 'damage 3 2');
  script.host(3).disk.standing = 'recovering';
  script.run('restart 3', 'tick 3 10');
  script.host(3).receive(vote({ lastIndex: 99, lastTerm: 9 }), []);
  script.run('status 3');
  strictEqual(script.underway('3>2', 'vote-reply')[0]?.isGranted, false);
  script.run('tick 3 40');
  strictEqual(script.view(3).role, 'follower');
  script.run('tick 1 2', 'settle', 'tick 2 12', 'elect 1');
  script.run('tick 1 2', 'settle', 'tick 1 2', 'settle');
  deepStrictEqual([script.view(3).standing, script.view(3).last], ['voting', script.view(1).last]);
});

test('raft faults C6: the same loss at every replica stops the cluster, and loses nothing more', () => {
  const script = led('propose 1', 'settle', 'crash 1', 'crash 2', 'crash 3');
  for (const id of [1, 2, 3]) {
    script.run(`damage ${id} 2`);
    script.host(id).disk.standing = 'recovering';
    script.run(`restart ${id}`);
  }
  for (let round = 0; round < 5; round++) script.run('tick 1 20', 'tick 2 20', 'tick 3 20', 'settle');
  for (const id of [1, 2, 3]) deepStrictEqual([script.view(id).role, script.view(id).last], ['follower', 2]);
  deepStrictEqual(script.run('propose 1'), ['1 reject reason=not-leader leader=0']);
});

test('raft faults C7: an entry that a majority had and lost is waited for, not given up', () => {
  const script = led('propose 1', 'log 1', 'deliver 1>2', 'log 2', 'deliver 2>1', 'crash 1', 'crash 2');
  strictEqual(script.view(1).committed, 3, 'acknowledged');
  for (const id of [1, 2]) script.host(id).disk.standing = 'recovering';
  script.run('damage 1 2', 'restart 1', 'damage 2 2', 'restart 2');
  for (let round = 0; round < 5; round++) script.run('tick 1 20', 'tick 2 20', 'tick 3 20', 'settle');
  ok([1, 2, 3].every((id) => script.view(id).role !== 'leader'));
});

test('raft faults D9: a copy of a directory is noticed, and named, by what its life is numbered', () => {
  const script = led();
  const copy = structuredClone(script.host(3).disk);
  const elder = script.host(3);
  script.host(3).disk.incarnation++; // The copy starts later, with the next number but one.
  script.run('crash 3 9', 'restart 3', 'tick 1 2', 'settle');
  strictEqual(script.view(3).incarnation, copy.incarnation + 2);
  elder.isUp = true;
  elder.receive(heartbeat(script), []);
  script.run('deliver 3>1 9');
  const [told] = script.underway('1>3', 'contradict');
  ok(told !== undefined);
  strictEqual(told.knownIncarnation, copy.incarnation + 2);
  elder.receive(told, []);
  deepStrictEqual(
    [elder.core.inspect().condition, elder.core.inspect().standing],
    ['fenced', 'recovering'],
    'the one that was there before',
  );
});

test('raft faults E3: without its status a replica is no voter until a leader has it back', () => {
  const script = led('crash 3', 'recovering 3', 'tick 3 40');
  strictEqual(script.view(3).role, 'follower');
  script.run('tick 1 2', 'settle');
  strictEqual(script.view(3).standing, 'recovering', 'it has everything, and its return is not committed');
  script.run('tick 1 2', 'settle');
  strictEqual(script.view(3).standing, 'voting');
  strictEqual(script.host(3).disk.standing, 'voting');
});

test('raft faults E3: its vote in the term in which it comes back counts as given', () => {
  const script = led(...REFILLED, 'tick 3 12');
  deepStrictEqual([script.view(3).vote, script.view(3).term], [1, 1]);
});

test('raft faults E3: an old promise to readmit an earlier life readmits no later one', () => {
  const script = led('crash 3', 'recovering 3', 'tick 1 2', 'settle', 'tick 1 2');
  const [readmit] = script.underway('1>3', 'readmit');
  script.run('crash 3', 'recovering 3', 'tick 1 2', 'settle');
  strictEqual(script.view(3).standing, 'recovering');
  script.host(3).receive(readmit!, []);
  strictEqual(script.view(3).standing, 'recovering');
});

test('raft faults E4: a disk that went back in time is told so, and neither votes nor stops', () => {
  const script = led(
    'propose 1',
    'deliver 1>3',
    'log 3',
    'deliver 3>1',
    'crash 3',
    'damage 3 2',
    'restart 3',
  );
  script.run('tick 1 2', 'settle');
  strictEqual(script.seen(3, 'contradicted')[0]?.reason, 'acknowledged');
  script.run('tick 1 2', 'settle', 'tick 1 2', 'settle', 'tick 1 2', 'settle');
  deepStrictEqual([script.view(3).standing, script.view(3).last], ['voting', script.view(1).last]);
});

test('raft faults E4: what an earlier life acknowledged does not count any more', () => {
  const script = led('propose 1', 'deliver 1>3', 'log 3', 'deliver 3>1', 'crash 3', 'recovering 3');
  script.run('drop 1>3', 'tick 1 2', 'deliver 1>3 9', 'status 3', 'deliver 3>1 9', 'log 1');
  strictEqual(script.view(1).committed, 2, 'entry 3 is on one disk');
});

test('raft faults E5: a status older than the log is noticed, and the log is kept', () => {
  const script = led('propose 1', 'settle', 'crash 2 9');
  script.host(2).disk.term = toTerm(0);
  script.host(2).disk.vote = 0;
  script.run('restart 2');
  deepStrictEqual(script.seen(2, 'contradicted')[0], { kind: 'contradicted', reason: 'status', value: 0 });
  const { standing, term, last } = script.view(2);
  deepStrictEqual([standing, term, last], ['recovering', 1, 3]);
});

test('raft faults E6: a commit index beyond the log is no panic, and makes no voter', () => {
  const script = led('propose 1', 'settle', 'transfer 1 2', 'settle', 'crash 3', 'damage 3 2', 'restart 3');
  strictEqual(script.seen(3, 'contradicted')[0]?.reason, 'committed');
  deepStrictEqual([script.view(3).standing, script.view(3).committed], ['recovering', 2]);
});

test('raft faults E6: a leader that names a commit beyond the log is no panic either', () => {
  const script = led();
  script.host(3).receive({ ...heartbeat(script), committed: toIndex(9) } as Message, []);
  strictEqual(script.seen(3, 'contradicted')[0]?.reason, 'committed');
  strictEqual(script.view(3).standing, 'recovering');
});

test('raft faults: a new leader changes no membership that rests on whom it has not heard', () => {
  const script = led('crash 3', 'transfer 1 2', 'settle');
  strictEqual(script.view(2).role, 'leader');
  deepStrictEqual(script.run('change 2 voters=2,3'), ['2 reject reason=quorum-lost leader=2']);
  strictEqual(script.run('change 2 voters=1,2')[0]?.startsWith('2 append-log'), true);
});

test('raft faults E7: of the memberships of checkpoint and log the later one is in force', () => {
  const script = led('change 1 voters=1,2', 'settle', 'crash 2 9', 'restart 2');
  deepStrictEqual([script.view(2).membershipIndex, script.view(2).membership.voters], [4, [1, 2]]);
});

test('raft faults E8: the vote of an earlier life is not counted beside that of a later one', () => {
  const script = new RaftScript();
  script.run('cluster 3', 'tick 2 12', 'tick 3 12', 'tick 1 20', 'deliver 1>2', 'deliver 2>1', 'status 1');
  script.run('deliver 1>3', 'deliver 1>3', 'status 3');
  const [grant] = script.underway('3>1', 'vote-reply');
  script.host(1).receive({ ...grant!, incarnation: 5, isGranted: false }, []);
  script.host(1).receive(grant!, []);
  strictEqual(script.view(1).role, 'candidate');
  strictEqual(script.underway('1>3', 'contradict')[0]?.knownIncarnation, 5);
});

test('raft faults E8: a replica that hears its own identity says so, and stops', () => {
  const script = led();
  script.host(2).receive({ ...vote({ lastIndex: 1, lastTerm: 0 }), from: 2, to: 2, incarnation: 8 }, []);
  deepStrictEqual(script.seen(2, 'violation')[0]?.violation, { kind: 'own-identity', incarnation: 8 });
});

test('raft faults F10: a clock that jumps makes a replica ask, and raises no term', () => {
  const script = led('pause 3 1000000', 'pause 3 1000000');
  strictEqual(script.view(3).role, 'follower', 'what its leader said meanwhile may wait to be read');
  script.run('tick 3 20', 'settle');
  for (const id of [1, 2, 3]) strictEqual(script.view(id).term, 1);
  strictEqual(script.view(1).role, 'leader');
});

test('raft faults F11: a leader that was stopped for a minute has no lease any more', () => {
  const script = led('read 1 lease');
  strictEqual(script.seen(1, 'read-ready').length, 1);
  script.run('pause 1 600', 'read 1 lease');
  strictEqual(script.seen(1, 'read-ready').length, 1, 'it asks');
  script.run('settle');
  strictEqual(script.seen(1, 'read-ready').length, 2);
});

test('raft faults F11: a leader that was stopped while another was elected answers no read', () => {
  const script = led('settle without 1', 'tick 2 12', 'tick 3 20', 'settle without 1');
  strictEqual(script.view(3).role, 'leader');
  script.run('pause 1 600', 'read 1 lease', 'settle');
  deepStrictEqual(script.seen(1, 'read-ready'), []);
  strictEqual(script.seen(1, 'read-failed').length, 1);
});

test('raft faults E8: the answer to a read of an earlier life answers no read of a later one', () => {
  const script = led('read 3', 'deliver 3>1', 'deliver 1>2', 'deliver 2>1');
  const [answer] = script.underway('1>3', 'read-index-reply');
  ok(answer !== undefined);
  script.run('crash 3', 'restart 3', 'propose 1', 'settle without 3', 'tick 1 2', 'deliver 1>3 9', 'read 3');
  script.host(3).receive(answer, []);
  deepStrictEqual(script.seen(3, 'read-ready'), [], 'both lives called the question 1');
  script.run('tick 1 2', 'settle');
  strictEqual(script.seen(3, 'read-ready')[0]?.index, 3);
});

test('raft faults F11: a replica that is not yet alone waits out the lease of its leader', () => {
  const script = new RaftScript();
  script.run('cluster 2', 'elect 1', 'settle', 'change 1 voters=2', 'log 1', 'deliver 1>2', 'log 2');
  script.run(
    'deliver 2>1',
    'deliver 1>2',
    'tick 1 2',
    'deliver 1>2',
    'deliver 2>1 9',
    'crash 2 9',
    'restart 2',
  );
  deepStrictEqual(script.view(2).membership.voters, [2]);
  strictEqual(script.view(2).membership.outgoing.length, 0);
  strictEqual(script.view(2).role, 'follower');
  deepStrictEqual(script.run('read 1 lease'), ['1 read-ready index=3']);
  script.run('tick 2 10');
  strictEqual(script.view(2).role, 'follower');
});

/** 3 lacks what 1 has compacted. */
function behind(...lines: string[]): RaftScript {
  const script = led('propose 1', 'propose 1', 'propose 1', 'settle without 3', 'compact 1 3');
  script.run('tick 1 2', 'deliver 1>3 9', 'deliver 3>1 9', 'deliver 1>3 9', ...lines);
  return script;
}

test('raft faults F12: a replica killed while it fetches a state starts with what it had', () => {
  const script = behind('crash 3', 'restart 3');
  deepStrictEqual([script.view(3).standing, script.view(3).last], ['voting', 2]);
  script.run('tick 1 2', 'settle', 'tick 1 2', 'settle');
  strictEqual(script.view(3).last, 5);
});

test('raft faults G6: states that are offered close together are fetched one at a time, the newest', () => {
  const script = behind();
  script.run('compact 1 4', 'tick 1 4', 'settle without 3', 'tick 1 6', 'deliver 1>3 9');
  deepStrictEqual(
    script.seen(3, 'fetch-state').map(({ state }) => state.index),
    [3, 4],
  );
  const [, newer] = script.seen(3, 'fetch-state');
  const { state, membership } = script.seen(3, 'fetch-state')[0]!;
  script.host(3).step({ kind: 'message', message: offer(state, membership) });
  strictEqual(script.seen(3, 'fetch-state').length, 2, 'an older one is not fetched');
  script.host(3).step({ kind: 'state-installed', state: newer!.state, membership });
  script.host(3).step({ kind: 'state-installed', state, membership });
  deepStrictEqual([script.view(3).committed, script.view(3).last], [4, 4], 'an older one changes nothing');
});

test('raft faults G7: a transfer that broke off is offered again', () => {
  const script = behind('gone 3', 'tick 1 4', 'settle without 3', 'tick 1 6', 'deliver 1>3 9');
  strictEqual(script.seen(3, 'fetch-state').length, 2);
});

test('raft faults G8: of a state that is gone the newest takes the place', () => {
  const script = behind(
    'compact 1 5',
    'gone 3',
    'tick 1 4',
    'settle without 3',
    'tick 1 6',
    'settle',
    'settle',
  );
  strictEqual(script.seen(3, 'fetch-state').at(-1)?.state.index, 5);
  strictEqual(script.view(3).committed, 5);
});

test('raft faults G9: while one fetches a state, it gets no entries, and the others commit as ever', () => {
  const script = behind('propose 1');
  deepStrictEqual(script.underway('1>3', 'append'), []);
  script.run('log 1', 'deliver 1>2 9', 'log 2', 'deliver 2>1 9');
  strictEqual(script.view(1).committed, 6);
});

test('raft faults I1, I4: every replica passes the same entries in the same order', () => {
  const script = behind('install 3', 'tick 1 2', 'settle');
  const entries = (id: number): string[] =>
    script
      .host(id)
      .entries.slice(-2)
      .map(({ term, value }) => `${term}/${value}`);
  deepStrictEqual(entries(3), entries(1));
  deepStrictEqual(entries(3), entries(2));
});

test('raft faults I2, I6: a leader whose host finds its state wrong gives way to the others', () => {
  const script = led();
  script.host(1).step({ kind: 'distrust' });
  deepStrictEqual([script.view(1).role, script.view(1).standing], ['follower', 'recovering']);
  script.run('tick 3 12', 'elect 2', 'settle');
  strictEqual(script.view(2).role, 'leader');
  script.run('tick 2 2', 'settle', 'tick 2 2', 'settle', 'tick 2 2', 'settle');
  strictEqual(script.view(1).standing, 'voting', 'repaired, it is one of them again');
});

test('raft faults I3: two that are distrusted of four leave no majority, and nothing is written', () => {
  const script = new RaftScript();
  script.run('cluster 4', 'elect 1', 'settle', 'tick 1 2', 'settle');
  for (const id of [3, 4]) script.host(id).step({ kind: 'distrust' });
  script.run('tick 1 2', 'settle', 'propose 1', 'settle');
  ok(script.view(1).committed < script.view(1).last);
  for (let round = 0; round < 6; round++) script.run('tick 1 2', 'settle');
  strictEqual(script.view(1).role, 'follower', 'it steps down');
});

test('raft faults I5: what is meant for another replica is dropped', () => {
  const script = led();
  script.host(2).receive({ ...heartbeat(script), to: 9 }, []);
  deepStrictEqual(script.underway('2>1', 'heartbeat-reply'), []);
});

test('raft faults: a start that cannot be is the bug of the host', () => {
  const view = { ...led().host(1).disk };
  const start = { id: 0, incarnation: 1, seed: 1, term: toTerm(0), vote: 0, committed: toIndex(0) };
  const log = { compactedTo: toIndex(0), compactedTerm: toTerm(0), runs: [], last: toIndex(0) };
  const rest = {
    tailSizes: [],
    membership: view.base,
    memberships: [],
    standing: 'voting',
    checkpoint: null,
  } as const;
  for (const wrong of [{ id: 0 }, { id: 1, incarnation: 0 }, { id: 2 ** 32 }]) {
    let thrown: unknown;
    try {
      void new Raft({ ...start, log, ...rest, ...wrong });
    } catch (error) {
      thrown = error;
    }
    strictEqual((thrown as Error | undefined)?.name, 'InvariantViolation', JSON.stringify(wrong));
  }
});

function vote({ lastIndex, lastTerm }: { lastIndex: number; lastTerm: number }): Message {
  const log = { lastIndex: toIndex(lastIndex), lastTerm: toTerm(lastTerm) };
  return { kind: 'vote', from: 2, to: 3, incarnation: 1, term: toTerm(9), ...log, cause: 'transfer' };
}

function heartbeat(script: RaftScript): Message {
  const { term, committed } = script.view(1);
  return { kind: 'heartbeat', from: 1, to: 3, incarnation: 1, term, committed, round: 99 };
}

function offer(state: { index: number; term: number; root: string }, membership: unknown): Message {
  return {
    kind: 'offer-state',
    from: 1,
    to: 3,
    incarnation: 1,
    term: toTerm(1),
    state,
    membership,
  } as Message;
}
