import js from '@eslint/js';
import { importX } from 'eslint-plugin-import-x';
import tseslint from 'typescript-eslint';

/**
 * What each folder of `src/` may import (docs/architecture.md holds the same table in words).
 * A folder may always import itself. `src/cli*` composes and may import everything.
 */
// The ground floor, which anybody may stand on.
const base = ['clock', 'errors', 'exec', 'files', 'foreground', 'log', 'process', 'version', 'wait'];
const mayImport = {
  config: ['errors'],
  results: ['errors'],
  drivers: base,
  cluster: [...base, 'drivers'],
  runner: [...base, 'cluster', 'drivers', 'results', 'config'],
  flake: ['errors', 'log', 'version', 'results'],
  report: ['errors', 'files', 'log', 'version', 'results', 'flake'],
  github: [...base, 'results', 'flake', 'report'],
  server: [...base, 'flake', 'report', 'results'],
};
const rooms = Object.keys(mayImport);
const zones = rooms.map((room) => ({
  target: `./src/${room}`,
  from: './src',
  except: [`./${room}`, ...mayImport[room].map((name) => (rooms.includes(name) ? `./${name}` : `./${name}.ts`))],
  message: `src/${room} may import only: ${mayImport[room].join(', ')} (docs/architecture.md)`,
}));

export default tseslint.config(
  { ignores: ['dist', 'coverage', 'node_modules', 'examples', '**/fixtures/**', 'bin', 'src/report/page/**/*.js'] },
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [...tseslint.configs.strictTypeChecked],
    plugins: { 'import-x': importX },
    languageOptions: {
      parserOptions: {
        project: ['./tsconfig.json', './src/report/page/tsconfig.json'],
        tsconfigRootDir: import.meta.dirname,
      },
    },
    settings: {
      'import-x/resolver': { typescript: true },
      'import-x/extensions': ['.ts'],
      'import-x/parsers': { '@typescript-eslint/parser': ['.ts'] },
    },
    rules: {
      'import-x/no-restricted-paths': ['error', { basePath: import.meta.dirname, zones }],
      'import-x/no-cycle': 'error',
      // One of two majors runs on a Node.js; the other ends the process.
      'no-restricted-syntax': [
        'error',
        {
          selector: ":matches(ImportDeclaration[importKind='value'], ImportExpression)[source.value=/^better-sqlite3/]",
          message: 'Take SqliteDatabase of src/flake/store/sqlite-library.ts.',
        },
      ],
      // Numbers and booleans read well in messages; objects do not and stay forbidden.
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      // `_` marks what a contract gives and this implementation does not need.
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      // Fake drivers and scripted executors are async by contract, not because they wait.
      '@typescript-eslint/require-await': 'off',
    },
  },
  {
    files: ['src/flake/store/sqlite-library.ts'],
    rules: { 'no-restricted-syntax': 'off' },
  },
  {
    files: ['**/*.test.ts', 'integration/**/*.ts'],
    rules: {
      // Folder rules are about what ships; a test may set up what it needs.
      'import-x/no-restricted-paths': 'off',
      // In a test a missing value is a failing test; the assertion says so better than a branch.
      '@typescript-eslint/no-non-null-assertion': 'off',
    },
  },
  {
    files: ['**/*.js'],
    extends: [tseslint.configs.disableTypeChecked],
    languageOptions: {
      globals: {
        process: 'readonly',
        console: 'readonly',
        performance: 'readonly',
        SharedArrayBuffer: 'readonly',
        Atomics: 'readonly',
      },
    },
  },
);
