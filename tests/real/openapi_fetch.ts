// openapi-typescript's types and openapi-fetch: what may be omitted is omitted.
import createClient from "openapi-fetch";
import type { paths } from "./schema";

declare const process: { argv: string[] };

const baseUrl = process.argv[2];
// Without "stream", answers are JSON.
const client = createClient<paths, "application/json" | "application/problem+json">({ baseUrl });
const streams = createClient<paths, "text/event-stream">({ baseUrl });

const plain = await client.POST("/api/v1/generate", { body: { template_id: "basic_chat", input: "Hi" } });
if (!plain.data) throw new Error(JSON.stringify(plain.error));
console.log(plain.data.status, plain.data.output);

const sorted = await client.POST("/api/v1/templates/classify_v1/generate", {
  body: { input: "Hi", parameters: { labels: ["bug", "idea"] } },
});
if (!sorted.data) throw new Error(JSON.stringify(sorted.error));
console.log(typeof sorted.data.output_json);

const stream = await streams.GET("/api/v1/history/{request_id}/events", {
  params: { path: { request_id: plain.data.request_id } },
  parseAs: "text",
});
const text: string | undefined = stream.data;
console.log(text?.split("\n")[0]);

const refused = await client.POST("/api/v1/templates/basic_chat_v1/generate", {
  // @ts-expect-error: not a tone
  body: { input: "Hi", parameters: { tone: "loud" } },
});
console.log(refused.error?.error, refused.response.status);
