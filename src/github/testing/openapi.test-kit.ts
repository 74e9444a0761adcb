import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { Ajv, type ValidateFunction } from 'ajv';
import * as formats from 'ajv-formats';
import { z } from 'zod';

const object = z.record(z.string(), z.unknown());
const fixtureSchema = z.object({
  operations: z.record(
    z.string(),
    z.object({
      parameters: z.array(
        z.object({ name: z.string(), in: z.string(), required: z.boolean().optional(), schema: object.optional() }),
      ),
      requestBody: object.optional(),
      responses: z.record(z.string(), object.nullable()),
    }),
  ),
  schemas: object,
});

/** GitHub's own description of the operations we use, as validators. Made by `scripts/github-schemas.ts`. */
export class OpenApi {
  private readonly fixture = fixtureSchema.parse(
    JSON.parse(readFileSync(join(import.meta.dirname, 'fixtures', 'github-openapi.json'), 'utf8')),
  );
  private readonly ajv = new Ajv({
    strict: false,
    allErrors: true,
    coerceTypes: false,
    formats: { 'repo.nwo': true },
  });
  private readonly validators = new Map<string, ValidateFunction>();
  private readonly routes = Object.keys(this.fixture.operations).map((operation) => {
    const [method = '', path = ''] = operation.split(' ');
    const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name);
    return { operation, method, names, pattern: new RegExp(`^${path.replaceAll(/\{\w+\}/g, '([^/]+)')}$`) };
  });

  constructor() {
    formats.default.default(this.ajv);
  }

  find(
    method: string,
    path: string,
  ): { readonly operation: string; readonly params: Readonly<Record<string, string>> } | undefined {
    for (const route of this.routes) {
      const match = route.method === method ? route.pattern.exec(path) : null;
      if (match === null) continue;
      const params = Object.fromEntries(
        route.names.map((name, index) => [name, decodeURIComponent(match[index + 1] ?? '')]),
      );
      return { operation: route.operation, params };
    }
    return undefined;
  }

  /** @returns what is wrong with a request; empty when nothing is */
  requestProblems(operation: string, query: URLSearchParams, body: unknown): string[] {
    const found = this.operation(operation);
    const known = new Map(found.parameters.filter((one) => one.in === 'query').map((one) => [one.name, one]));
    const problems = [...query.keys()]
      .filter((name) => !known.has(name))
      .map((name) => `${operation}: unknown query ${name}`);
    for (const [name, { schema }] of known) {
      const text = query.get(name);
      if (text === null || schema === undefined) continue;
      const value = schema['type'] === 'integer' ? Number(text) : schema['type'] === 'boolean' ? text === 'true' : text;
      problems.push(...this.problems(`${operation} query ${name}`, schema, value));
    }
    if (found.requestBody === undefined) {
      if (body !== undefined) problems.push(`${operation}: takes no body`);
    } else if (body !== undefined) problems.push(...this.problems(`${operation} body`, found.requestBody, body));
    return problems;
  }

  responseProblems(operation: string, status: number, body: unknown): string[] {
    const { responses } = this.operation(operation);
    // Every operation can fail in ways that the description leaves out (401, 5xx, rate limits).
    if (!(String(status) in responses)) return status >= 400 ? [] : [`${operation}: no status ${String(status)}`];
    const schema = responses[String(status)];
    if (schema == null) return body === undefined ? [] : [`${operation} ${String(status)}: has no body`];
    return this.problems(`${operation} ${String(status)}`, schema, body);
  }

  private operation(operation: string) {
    const found = this.fixture.operations[operation];
    if (found === undefined) throw new Error(`${operation} is not described`);
    return found;
  }

  private problems(place: string, schema: Readonly<Record<string, unknown>>, value: unknown): string[] {
    let validate = this.validators.get(place);
    if (validate === undefined) {
      validate = this.ajv.compile({ ...schema, $defs: this.fixture.schemas });
      this.validators.set(place, validate);
    }
    if (validate(value)) return [];
    return (validate.errors ?? []).map(({ instancePath, message = '' }) => `${place}${instancePath}: ${message}`);
  }
}
