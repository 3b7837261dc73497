/**
 * Serves `dist` and a deployment file on loopback, with a strict Content-Security-Policy:
 *
 *   TALLYSTICK_DEPLOYMENT=<file> PORT=8000 node serve.mjs
 *
 * Browsers let a page on plain HTTP use locks and cryptography on loopback only. Elsewhere, serve it over HTTPS.
 */
import { existsSync, readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";

const { TALLYSTICK_DEPLOYMENT: deploymentFile = ".tallystick/devnet.json", PORT: port = "8000" } = process.env;
if (!existsSync(deploymentFile)) {
  process.stderr.write(
    `there is no deployment file ${deploymentFile}: set TALLYSTICK_DEPLOYMENT to one, ` +
      "for example <checkout>/.tallystick/devnet.json while `npm run devnet` runs in a checkout of Tallystick\n",
  );
  process.exit(1);
}
const files = new Map([
  ["/", ["dist/index.html", "text/html; charset=utf-8"]],
  ["/page.css", ["dist/page.css", "text/css; charset=utf-8"]],
  // The page, and what it loads when it is needed.
  ...readdirSync("dist")
    .filter((name) => name.endsWith(".js"))
    .map((name) => [`/${name}`, [`dist/${name}`, "text/javascript; charset=utf-8"]]),
  ["/deployment.json", [deploymentFile, "application/json"]],
]);
const policy = [
  "default-src 'none'",
  // The OPRF and the possession audit are WebAssembly.
  "script-src 'self' 'wasm-unsafe-eval'",
  "style-src 'self'",
  "img-src data:",
  // Key nodes and providers have addresses of their own, which the registry and the deployment name.
  "connect-src 'self' https: http://127.0.0.1:*",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
].join("; ");

const server = createServer(async (request, response) => {
  const [path, type] = files.get(request.url ?? "") ?? [];
  if (path === undefined) {
    response.writeHead(404).end();
    return;
  }
  try {
    const content = await readFile(path);
    response.writeHead(200, { "content-type": type, "content-security-policy": policy }).end(content);
  } catch (error) {
    response.writeHead(500, { "content-type": "text/plain" }).end(String(error));
  }
});
server.listen(Number(port), "127.0.0.1", () => process.stdout.write(`http://127.0.0.1:${port}\n`));
