// With `node --import`: runs the TypeScript of src and test as it stands.
import { register } from 'node:module';

register('./typescript-hooks.mjs', import.meta.url);
