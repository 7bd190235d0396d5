// Before each test file (.taprc): programs that a test starts are to start as a user starts them.
import { createRequire } from 'node:module';

interface ProcessOnSpawn {
  removeAllListeners(): void;
}

// tap has every node process load its bookkeeping for coverage, which nobody here reads, and which costs a daemon more than its own
// start.
const processOnSpawn = createRequire(import.meta.url)('process-on-spawn') as ProcessOnSpawn;
processOnSpawn.removeAllListeners();
// Reading certificates takes as long as starting node; nothing here talks to the world.
delete process.env.NODE_EXTRA_CA_CERTS;
// Of what this process was started with, a child needs what makes it read TypeScript, wherever it is started.
process.execArgv = process.execArgv
  .filter(word => !/processinfo|support\/children/.test(word))
  .map(word => word.replace('--import=./test/', `--import=${new URL('..', import.meta.url).href}`));
