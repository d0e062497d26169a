/** How important a trace line is: apart from what writes them, so that the configuration loads no writer. */

export const TRACE_LEVELS = ['debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

export type TraceLevel = (typeof TRACE_LEVELS)[number];
