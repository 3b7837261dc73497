/**
 * The HTTP server both daemons are built on: Fastify with TypeBox schemas checked strictly (no coercion, no silent
 * removal of fields), limits on body size and time, errors as `{ error }` bodies, `/healthz` and `/metrics`.
 */

import { STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import type { Static, TSchema } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import * as Type from "@sinclair/typebox/type";
import {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyTypeProvider,
  fastify,
  LogController,
  type RawReplyDefaultExpression,
  type RawRequestDefaultExpression,
  type RawServerDefault,
} from "fastify";
import { redactUrlsIn } from "../core/encoding/redact-url.ts";
import { InvalidInputError, TallystickError } from "../core/errors.ts";
import { expectedBy } from "../core/wire/schema.ts";
import { cachedFor } from "./cached.ts";
import { allowOrigins } from "./cors.ts";
import type { FailureLog } from "./failure-log.ts";
import { malformedRequest, toHttpError } from "./http-errors.ts";
import type { Logger } from "./logger.ts";
import type { DaemonMetrics } from "./metrics.ts";
import { dropUnreadBody } from "./unread-body.ts";

/** Gives routes the static types of their TypeBox schemas. */
export interface TypeBoxProvider extends FastifyTypeProvider {
  validator: this["schema"] extends TSchema ? Static<this["schema"]> : unknown;
  serializer: this["schema"] extends TSchema ? Static<this["schema"]> : unknown;
}

export type DaemonServer = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  TypeBoxProvider
>;

/** Resolves when the part works, rejects with the reason when it does not. */
export type HealthCheck = () => Promise<void> | void;

export interface ServerOptions {
  readonly logger: Logger;
  readonly metrics: DaemonMetrics;
  /** Takes failures of requests and health checks, which may repeat with every request. */
  readonly failures: FailureLog;
  readonly healthChecks?: Readonly<Record<string, HealthCheck>>;
  /** Origins of web pages that may use the daemon; see cors.ts. None unless given. */
  readonly allowedOrigins?: readonly string[];
  /** Addresses and networks of reverse proxies whose X-Forwarded-For counts. None unless given. */
  readonly trustedProxies?: readonly string[];
  /** Milliseconds that never go back; the process's clock unless told. */
  readonly monotonicNow?: () => number;
  /** Default limit of a request body; routes may set their own `bodyLimit`. */
  readonly bodyLimitBytes?: number;
  /** Most seconds for a request to arrive in full. */
  readonly requestTimeoutSeconds?: number;
  /** Most seconds a handler may take; routes may set their own `handlerTimeout` (milliseconds). */
  readonly handlerTimeoutSeconds?: number;
}

const HEALTH_CHECK_SECONDS = 5;
/**
 * How long the result of the health checks is given again: some of them ask the chain, and anybody may ask for them.
 */
const HEALTH_MILLISECONDS = 5000;

const HealthAnswer = Type.Object({
  ok: Type.Boolean(),
  checks: Type.Record(Type.String(), Type.Union([Type.Literal("ok"), Type.Literal("failing")])),
});

async function runHealthCheck(check: HealthCheck): Promise<void> {
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), HEALTH_CHECK_SECONDS * 1000);
  try {
    await Promise.race([
      Promise.resolve().then(check),
      new Promise<never>((_, reject) => {
        limit.signal.addEventListener("abort", () => reject(new Error(`no answer in ${HEALTH_CHECK_SECONDS} s`)));
      }),
    ]);
  } finally {
    clearTimeout(timer);
  }
}

/** The body of an error answer. Addresses in it lose what only the operator should read. */
function serializeError(error: TallystickError): string {
  return redactUrlsIn(JSON.stringify({ error: error.toJSON() }));
}

/** Answers bytes that are no HTTP request, and closes the connection: where the next request starts is unknown. */
function answerMalformed(cause: NodeJS.ErrnoException, socket: Socket): void {
  if (cause.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const { status, error } = malformedRequest(cause.code);
  const body = serializeError(error);
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    "content-type: application/json",
    `content-length: ${Buffer.byteLength(body)}`,
    "connection: close",
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`);
}

/** A server with the common routes; the daemon adds its own routes and then listens. */
export function createServer(options: ServerOptions): DaemonServer {
  const { logger, metrics, failures } = options;
  const server = fastify({
    loggerInstance: logger as FastifyBaseLogger,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: options.bodyLimitBytes ?? 256 * 1024,
    requestTimeout: (options.requestTimeoutSeconds ?? 30) * 1000,
    handlerTimeout: (options.handlerTimeoutSeconds ?? 30) * 1000,
    keepAliveTimeout: 65_000,
    trustProxy: [...(options.trustedProxies ?? [])],
    routerOptions: { maxParamLength: 128 },
    // Idle keep-alive connections must not hold up a shutdown; requests in progress are finished.
    forceCloseConnections: "idle",
    clientErrorHandler: answerMalformed,
    // A path that cannot be decoded, or a parameter that is too long: the router refuses before the error handler is
    // reached.
    frameworkErrors: (thrown, _request, reply) => {
      const { status, error } = toHttpError(thrown);
      const untyped: FastifyReply = reply as unknown as FastifyReply;
      untyped.code(status).type("application/json").send(serializeError(error));
    },
  }).withTypeProvider<TypeBoxProvider>();

  server.setValidatorCompiler<TSchema>(({ schema, httpPart }) => {
    const compiled = TypeCompiler.Compile(schema);
    return (value) => {
      if (compiled.Check(value)) return { value };
      const mismatch = compiled.Errors(value).First();
      return {
        error: new InvalidInputError(`${httpPart ?? "request"} does not fit the schema`, {
          party: "client",
          check: `${httpPart ?? "request"}${mismatch?.path ?? ""}`,
          expected: expectedBy(mismatch),
        }),
      };
    };
  });
  // Fastify adds fields to what a validator returns; the error is sent unchanged.
  server.setSchemaErrorFormatter((errors) => errors[0] as unknown as Error);

  server.setErrorHandler(async (thrown, request, reply) => {
    const { status, error, known } = toHttpError(thrown);
    const route = request.routeOptions.url ?? "unknown";
    if (!known || status >= 500) failures.failed(`request ${request.method} ${route}`, thrown, "request failed");
    else request.log.debug({ code: error.code, check: error.check, route }, "request refused");
    if (error.retryAfterSeconds !== undefined) {
      reply.header("retry-after", String(Math.max(1, Math.ceil(error.retryAfterSeconds))));
    }
    if (status === 401) reply.header("www-authenticate", "Bearer");
    return reply.code(status).type("application/json").send(serializeError(error));
  });
  server.setNotFoundHandler((request) => {
    throw new TallystickError("there is no such route", {
      code: "NOT_FOUND",
      check: "route",
      received: `${request.method} ${request.url.split("?", 1)[0]?.slice(0, 200) ?? ""}`,
    });
  });

  const { allowedOrigins = [] } = options;
  if (allowedOrigins.length > 0) server.addHook("onRequest", allowOrigins(allowedOrigins));
  server.addHook("onSend", dropUnreadBody);
  server.addHook("onResponse", async (request, reply) => {
    const route = request.routeOptions.url ?? "unknown";
    metrics.observeRequest(request.method, route, reply.statusCode, reply.elapsedTime / 1000);
    request.log.debug({ route, status: reply.statusCode, milliseconds: Math.round(reply.elapsedTime) }, "answered");
  });

  const checkHealth = cachedFor(
    HEALTH_MILLISECONDS,
    async () => {
      const checks: Record<string, "ok" | "failing"> = {};
      for (const [name, check] of Object.entries(options.healthChecks ?? {})) {
        try {
          await runHealthCheck(check);
          failures.succeeded(`health check ${name}`);
          checks[name] = "ok";
        } catch (cause) {
          failures.failed(`health check ${name}`, cause, "health check failed");
          checks[name] = "failing";
        }
      }
      return checks;
    },
    options.monotonicNow,
  );
  server.get(
    "/healthz",
    { schema: { response: { 200: HealthAnswer, 503: HealthAnswer } } },
    async (_request, reply) => {
      const checks = await checkHealth();
      const ok = Object.values(checks).every((state) => state === "ok");
      return reply.code(ok ? 200 : 503).send({ ok, checks });
    },
  );
  server.get("/metrics", async (_request, reply) => {
    reply.type(metrics.registry.contentType);
    return metrics.registry.metrics();
  });
  return server;
}
