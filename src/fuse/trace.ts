// The debug log: wraps the rows of the operation table, so that a session without it pays nothing.
import { errnoName, SysError } from '../base/index.js';
import type { Answer, Context } from './context.js';
import { opName } from './protocol.js';
import type { Request } from './request.js';
import type { Row } from './table.js';

/** Takes one line per request: operation, node id, result, microseconds. */
export type Trace = (line: string) => void;

/** The same rows, each reporting what it did. */
export function traced(rows: readonly (Row | undefined)[], trace: Trace): (Row | undefined)[] {
  return rows.map((row, opcode) => {
    if (row === undefined) return undefined;
    return { ...row, run: (c: Context, r: Request) => observe(row, opcode, c, r, trace) };
  });
}

function observe(row: Row, opcode: number, c: Context, r: Request, trace: Trace): Answer {
  const head = `${opName(opcode)} node ${r.nodeid}`;
  const from = performance.now();
  const report = (result: string): void => {
    trace(`${head} ${result} ${Math.round((performance.now() - from) * 1000)}us`);
  };
  const failed = (error: unknown): never => {
    report(error instanceof SysError ? `${error.what}: ${error.code}` : String(error));
    throw error;
  };
  let answer: Answer;
  try {
    answer = row.run(c, r);
  } catch (error) {
    return failed(error);
  }
  if (typeof answer === 'number') {
    report(answer < 0 ? errnoName(-answer) : `ok ${answer}`);
    return answer;
  }
  return answer.then(done => {
    report(typeof done === 'number' && done < 0 ? errnoName(-done) : 'ok later');
    return done;
  }, failed);
}
