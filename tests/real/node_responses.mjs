// What the official OpenAI SDK of Node makes of a gateway's Responses, as JSON.
// Usage: node node_responses.mjs BASE_URL KEY
import OpenAI from "openai";

const [baseURL, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey });
const input = [{ role: "user", content: "the river and the stone bridge" }];
const seen = {};

const whole = await client.responses.create({ model: "tiny", input, max_output_tokens: 16 });
[seen.text, seen.status] = [whole.output_text, whole.status];

const parameters = { type: "object", properties: { at: { type: "string" } }, required: ["at"], additionalProperties: false };
const tools = [{ type: "function", name: "look", parameters, strict: true }];
const first = await client.responses.stream({ model: "tools", input, tools }).finalResponse();
const calls = first.output.filter((item) => item.type === "function_call");
seen.calls = calls.map((call) => JSON.parse(call.arguments));
const results = calls.map((call) => ({ type: "function_call_output", call_id: call.call_id, output: "seen" }));
const last = await client.responses.stream({ model: "tools", input: [...input, ...first.output, ...results], tools }).finalResponse();
seen.last = last.output_text;
console.log(JSON.stringify(seen));
