import { z } from 'zod';

import { READ_ROUTES } from './api.js';
import { ingestAnswer, ingestQuery, problemSchema } from './query.js';

/**
 * The API as an OpenAPI 3.1 document, made from the same schemas that check requests and type answers.
 *
 * @param version of mk-ci
 */
export function openApiDocument(version: string): Readonly<Record<string, unknown>> {
  const problem = {
    description: 'what is wrong, with what to do',
    content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
  };
  const paths: Record<string, Record<string, unknown>> = {};
  for (const { path, operation, summary, query, contentType, answer } of READ_ROUTES) {
    paths[path] = {
      get: {
        operationId: operation,
        summary,
        parameters: parametersOf(query),
        responses: {
          200: {
            description: 'as of now',
            headers: {
              ETag: { schema: { type: 'string' }, description: 'send it as If-None-Match to be answered 304' },
            },
            content: { [contentType]: { schema: answer === undefined ? { type: 'string' } : schemaOf(answer) } },
          },
          304: { description: 'nothing has changed' },
          400: problem,
          404: problem,
          503: problem,
        },
      },
    };
  }
  paths['/api/runs'] = {
    ...paths['/api/runs'],
    post: {
      operationId: 'ingest',
      summary:
        'Takes in the results of a run: events.jsonl of a run folder, or test output of any format that mk-ci reads',
      description: 'A run that is known changes nothing, so a request may be sent again. The body may be gzip-encoded.',
      security: [{ token: [] }],
      parameters: parametersOf(ingestQuery),
      requestBody: {
        required: true,
        content: { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } },
      },
      responses: {
        200: {
          description: 'all of it was known',
          content: { 'application/json': { schema: schemaOf(ingestAnswer) } },
        },
        201: { description: 'stored', content: { 'application/json': { schema: schemaOf(ingestAnswer) } } },
        ...Object.fromEntries([400, 401, 403, 413, 422, 503, 507].map((status) => [status, problem])),
      },
    },
  };
  return {
    openapi: '3.1.0',
    info: {
      title: 'mk-ci',
      version,
      description:
        'History of tests: rates with intervals, changepoints, runs. Times are UTC, durations milliseconds, shares 0…1.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    paths,
    components: {
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
      schemas: { Problem: schemaOf(problemSchema) },
    },
  };
}

function parametersOf(query: z.ZodObject) {
  return Object.entries<z.core.$ZodType>(query.shape).map(([name, schema]) => {
    const { description, ...rest } = schemaOf(schema);
    return {
      name,
      in: 'query',
      required: !z.safeParse(schema, undefined).success,
      ...(description === undefined ? {} : { description }),
      schema: rest,
    };
  });
}

/** What comes out of a schema: numbers where the query is read as a number. */
function schemaOf(schema: z.core.$ZodType): Record<string, unknown> {
  const {
    $schema: _,
    '~standard': _standard,
    ...rest
  } = z.toJSONSchema(schema, { target: 'draft-2020-12', io: 'output' }) as Record<string, unknown>;
  return rest;
}
