/** For programs in Node: proxies from the environment, to be set before the first request. */
export { useProxyFromEnvironment } from "../../chain/node-proxy.ts";
