/**
 * An IPFS node in this process (Helia): it serves blocks to whichever peer asks for their CIDs by bitswap. It listens
 * on TCP, knows no other node than those it is told of, and neither looks anything up nor announces itself in the
 * public network (no DHT, no bootstrap nodes, no delegated routing).
 */
import { withBitswap } from "@helia/bitswap";
import { withLibp2pLight } from "@helia/libp2p";
import { generateKeyPair, privateKeyFromProtobuf, privateKeyToProtobuf } from "@libp2p/crypto/keys";
import { identify } from "@libp2p/identify";
import { KEEP_ALIVE, type Libp2p, type PeerId } from "@libp2p/interface";
import { noise } from "@libp2p/noise";
import { peerIdFromString } from "@libp2p/peer-id";
import { tcp } from "@libp2p/tcp";
import { yamux } from "@libp2p/yamux";
import { type Multiaddr, multiaddr } from "@multiformats/multiaddr";
import { createHeliaLight } from "helia";
import type { Blockstore } from "interface-blockstore";
import { InvalidInputError } from "../../../core/errors.ts";

/** Connections of strangers at a time. */
const MAXIMUM_CONNECTIONS = 256;

export interface IpfsPeerOptions {
  readonly blockstore: Blockstore;
  /** From `makePeerKey`. */
  readonly key: Uint8Array;
  /** Multiaddrs to listen on. */
  readonly listen: readonly string[];
  /** Multiaddrs, with peer ids, of nodes to stay connected to. */
  readonly peers: readonly string[];
}

export interface IpfsPeer {
  /** Where other nodes reach it: multiaddrs with its peer id. */
  readonly addresses: readonly string[];
  stop(): Promise<void>;
}

/** A new private key, from which the peer id follows. */
export async function makePeerKey(): Promise<Uint8Array> {
  return privateKeyToProtobuf(await generateKeyPair("Ed25519"));
}

/** @throws InvalidInputError for an address that is no multiaddr, or that cannot be listened on */
export async function startIpfsPeer({ blockstore, key, listen, peers }: IpfsPeerOptions): Promise<IpfsPeer> {
  const others = peers.map(parsePeer);
  const helia = withBitswap(
    withLibp2pLight(createHeliaLight({ blockstore }), {
      privateKey: privateKeyFromProtobuf(key),
      addresses: { listen: listen.map((address) => parseAddress(address).toString()) },
      transports: [tcp()],
      connectionEncrypters: [noise()],
      streamMuxers: [yamux()],
      connectionManager: { maxConnections: MAXIMUM_CONNECTIONS },
      services: { identify: identify() },
    }),
  );
  try {
    await helia.start();
  } catch (cause) {
    await helia.stop().catch(() => undefined);
    throw new InvalidInputError("the IPFS node cannot listen", {
      check: "store/listen",
      received: listen.join(", ").slice(0, 256),
      hint: "another process may use the port, or the address is not one of this machine",
      cause,
    });
  }
  for (const peer of others) await keepConnected(helia.libp2p, peer);
  return {
    addresses: helia.libp2p.getMultiaddrs().map(String),
    stop: async () => {
      await helia.stop();
    },
  };
}

function parseAddress(address: string): Multiaddr {
  try {
    return multiaddr(address);
  } catch (cause) {
    throw new InvalidInputError("an address of the IPFS node is no multiaddr", {
      check: "store/listen and store/peers",
      expected: "for example /ip4/127.0.0.1/tcp/4001, and for a peer also /p2p/12D3…",
      received: address.slice(0, 256),
      cause,
    });
  }
}

interface KnownPeer {
  readonly id: PeerId;
  readonly address: Multiaddr;
}

function parsePeer(text: string): KnownPeer {
  const address = parseAddress(text);
  const id = address.getComponents().find(({ name }) => name === "p2p")?.value;
  if (id !== undefined) return { id: peerIdFromString(id), address };
  throw new InvalidInputError("the address of a peer has no peer id", {
    check: "store/peers",
    expected: "a multiaddr that ends with /p2p/12D3…",
    received: text.slice(0, 256),
  });
}

/** Dials a node again whenever the connection breaks. */
async function keepConnected(libp2p: Libp2p, { id, address }: KnownPeer): Promise<void> {
  await libp2p.peerStore.merge(id, { multiaddrs: [address], tags: { [KEEP_ALIVE]: {} } });
  // A node that is down is dialled again by libp2p; it must not delay the start.
  libp2p.dial(address).catch(() => undefined);
}
