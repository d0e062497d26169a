/** Events become operations: each invocation with its return. */

import { TidemarkError } from '../../base/errors.ts';
import type { HistoryEvent, RecordedHistory } from './history-lines.ts';
import type { Operation, Outcome } from './operation.ts';

type Invocation = Extract<HistoryEvent, { kind: 'invoke' }>;

/**
 * The operations of one history, in the order of their invocations. Throws TIDEMARK_HISTORY_INVALID for an id
 * that is invoked twice, or returns without being open.
 */
export function assembleHistory(events: readonly HistoryEvent[]): Operation[] {
  const open = new Map<number, { event: Invocation; at: number }>();
  const seen = new Set<number>();
  const operations: Operation[] = [];
  events.forEach((event, at) => {
    if (event.kind === 'invoke') {
      if (seen.has(event.id)) throw unpaired(event.id, 'was invoked twice');
      seen.add(event.id);
      open.set(event.id, { event, at });
      return;
    }
    const invoked = open.get(event.id);
    if (invoked === undefined) throw unpaired(event.id, 'returned without being open');
    open.delete(event.id);
    operations.push(toOperation(invoked, outcomeOf(event), { at, ms: event.ms }));
  });
  for (const invoked of open.values()) operations.push(toOperation(invoked, { kind: 'unknown' }, null));
  return operations.sort((one, other) => one.invokedAt - other.invokedAt);
}

/**
 * Several histories as one, by their clocks, which must be one clock: that of one machine, or of one
 * simulation. Where two events have the same time, invocations count as earlier, so that what may have
 * overlapped does.
 */
export function mergeHistories(histories: readonly RecordedHistory[]): Operation[] {
  const operations = histories.flatMap(({ source, events }) =>
    assembleHistory(events).map((operation) => ({ operation, source })),
  );
  const times = new Set(
    operations.flatMap(({ operation: { invokedMs, returnedMs } }) => [invokedMs, returnedMs ?? invokedMs]),
  );
  const places = new Map([...times].sort((one, other) => one - other).map((ms, at) => [ms, 2 * at]));
  return operations
    .map(({ operation, source }) => ({
      ...operation,
      client: `${source}/${operation.client}`,
      invokedAt: places.get(operation.invokedMs)!,
      returnedAt: operation.outcome.kind === 'answered' ? places.get(operation.returnedMs!)! + 1 : Infinity,
    }))
    .sort((one, other) => one.invokedAt - other.invokedAt);
}

/** An unknown outcome has no return: it may take effect after its client gave up. */
function toOperation(
  { event, at }: { event: Invocation; at: number },
  outcome: Outcome,
  returned: { readonly at: number; readonly ms: number } | null,
): Operation {
  const { client, call, command, ms } = event;
  return {
    client,
    call,
    command,
    outcome,
    invokedAt: at,
    returnedAt: returned === null || outcome.kind === 'unknown' ? Infinity : returned.at,
    invokedMs: ms,
    returnedMs: returned?.ms ?? null,
  };
}

function outcomeOf(event: Exclude<HistoryEvent, Invocation>): Outcome {
  switch (event.kind) {
    case 'answer':
      return { kind: 'answered', answer: event.answer };
    case 'unknown':
      return { kind: 'unknown' };
    case 'refuse':
      return { kind: 'refused', reason: event.reason };
  }
}

function unpaired(id: number, what: string): TidemarkError {
  return new TidemarkError('TIDEMARK_HISTORY_INVALID', `operation ${id} of a history ${what}`, {
    remedy: 'fix-call',
    facts: { id },
  });
}
