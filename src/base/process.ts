/** Who this process is, for people: in the note of a lock. */

export const PROCESS_LABEL = `process ${process.pid}`;
