import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { z } from 'zod';

/**
 * Takes out of GitHub's OpenAPI description what the bot's tests check requests and responses against: the operations
 * we use, with every schema they refer to, without descriptions and examples.
 *
 *   npx tsx scripts/github-schemas.ts PATH/TO/api.github.com.json
 *
 * The description is the file `generated/api.github.com.json` of the npm package `@octokit/openapi` (385 MB, which is why
 * it is no dependency).
 */
const OPERATIONS: readonly string[] = [
  'GET /user',
  'GET /app',
  'GET /repos/{owner}/{repo}/installation',
  'POST /app/installations/{installation_id}/access_tokens',
  'GET /repos/{owner}/{repo}/pulls/{pull_number}',
  'GET /repos/{owner}/{repo}/pulls/{pull_number}/files',
  'GET /repos/{owner}/{repo}/commits/{commit_sha}/pulls',
  'GET /repos/{owner}/{repo}/issues/{issue_number}/comments',
  'POST /repos/{owner}/{repo}/issues/{issue_number}/comments',
  'PATCH /repos/{owner}/{repo}/issues/comments/{comment_id}',
  'DELETE /repos/{owner}/{repo}/issues/comments/{comment_id}',
  'GET /repos/{owner}/{repo}/issues',
  'POST /repos/{owner}/{repo}/issues',
  'PATCH /repos/{owner}/{repo}/issues/{issue_number}',
  'POST /repos/{owner}/{repo}/issues/{issue_number}/labels',
  'POST /repos/{owner}/{repo}/issues/comments/{comment_id}/reactions',
  'POST /repos/{owner}/{repo}/check-runs',
  'PATCH /repos/{owner}/{repo}/check-runs/{check_run_id}',
  'POST /repos/{owner}/{repo}/statuses/{sha}',
  'GET /repos/{owner}/{repo}/collaborators/{username}/permission',
  'GET /repos/{owner}/{repo}/actions/runs',
  'POST /repos/{owner}/{repo}/actions/runs/{run_id}/rerun-failed-jobs',
  'POST /repos/{owner}/{repo}/actions/runs/{run_id}/approve',
  'GET /repos/{owner}/{repo}',
  'GET /repos/{owner}/{repo}/git/ref/{ref}',
  'POST /repos/{owner}/{repo}/git/refs',
  'GET /repos/{owner}/{repo}/contents/{path}',
  'PUT /repos/{owner}/{repo}/contents/{path}',
  'POST /repos/{owner}/{repo}/pulls',
  'GET /repos/{owner}/{repo}/pulls',
];

const TEXT_KEYS = new Set([
  'description',
  'example',
  'examples',
  'title',
  'x-github-breaking-changes',
  'x-multi-segment',
  'externalDocs',
  'deprecated',
  'discriminator',
  'default',
]);

const json = z.record(z.string(), z.unknown());
type Json = z.infer<typeof json>;
const FIXTURE = join(import.meta.dirname, '..', 'src', 'github', 'testing', 'fixtures', 'github-openapi.json');

const source = process.argv[2];
if (source === undefined) throw new Error('usage: github-schemas.ts api.github.com.json');
const document = json.parse(JSON.parse(readFileSync(source, 'utf8')));
const schemas: Json = {};

const operations = Object.fromEntries(
  OPERATIONS.map((operation) => {
    const [method = '', path = ''] = operation.split(' ');
    const found = json.parse(json.parse(json.parse(document['paths'])[path])[method.toLowerCase()]);
    return [
      operation,
      {
        parameters: z
          .array(json)
          .parse(found['parameters'] ?? [])
          .map((parameter) => resolve(parameter))
          .map(({ name, in: place, required, schema }) => ({ name, in: place, required, schema: compact(schema) })),
        ...(found['requestBody'] === undefined
          ? {}
          : { requestBody: compact(bodyOf(json.parse(found['requestBody']))) }),
        responses: Object.fromEntries(
          Object.entries(json.parse(found['responses'])).map(([status, response]) => [
            status,
            compact(bodyOf(resolve(json.parse(response)))) ?? null,
          ]),
        ),
      },
    ];
  }),
);

const info = z.object({ version: z.string() }).parse(document['info']);
const fixture = {
  origin: `npm package @octokit/openapi ${info.version}, generated/api.github.com.json (MIT), reduced by scripts/github-schemas.ts`,
  operations,
  schemas: Object.fromEntries(Object.entries(schemas).sort(([a], [b]) => (a < b ? -1 : 1))),
};
writeFileSync(FIXTURE, `${JSON.stringify(fixture)}\n`);

function bodyOf(content: Json): unknown {
  const types = content['content'] === undefined ? {} : json.parse(content['content']);
  const media = types['application/json'];
  return media === undefined ? undefined : json.parse(media)['schema'];
}

function resolve(value: Json): Json {
  const reference = value['$ref'];
  return typeof reference === 'string' ? json.parse(at(reference)) : value;
}

function at(reference: string): unknown {
  return reference
    .slice(2)
    .split('/')
    .reduce<unknown>((value, part) => json.parse(value)[part], document);
}

/** A schema as JSON Schema: no texts, `nullable` as a type, references to our own list. */
function compact(value: unknown, isNameMap = false): unknown {
  if (Array.isArray(value)) return value.map((item) => compact(item));
  const parsed = json.safeParse(value);
  if (!parsed.success) return value;
  const node = parsed.data;
  const reference = node['$ref'];
  if (typeof reference === 'string') {
    const name = reference.split('/').at(-1) ?? '';
    if (!(name in schemas)) {
      schemas[name] = {}; // schemas may refer to themselves
      schemas[name] = compact(at(reference));
    }
    return { $ref: `#/$defs/${name}` };
  }
  const entries = Object.entries(node)
    .filter(([key]) => isNameMap || (!TEXT_KEYS.has(key) && key !== 'nullable'))
    .map(([key, item]): [string, unknown] => [
      key,
      key === 'enum' || key === 'required' ? item : compact(item, !isNameMap && key === 'properties'),
    ]);
  const result: Json = Object.fromEntries(entries);
  return !isNameMap && node['nullable'] === true ? { anyOf: [result, { type: 'null' }] } : result;
}
