// What the official Node SDK makes of one chat, as JSON: the text that came, the error, and how often it was sent.
// Usage: node node_sdk.mjs BASE_URL KEY CASE     CASE: `stream`, `too-long`, or the name of a scripted model
import OpenAI from "openai";

const [baseURL, apiKey, name] = process.argv.slice(2);
const seen = { text: "", error: null, code: null, sent: 0 };
const counting = (url, options) => {
  seen.sent += 1;
  return fetch(url, options);
};
// The SDK as users have it: its own default of two retries stays on.
const client = new OpenAI({ baseURL, apiKey, fetch: counting });
const words = name === "too-long" ? "the river and the stone bridge ".repeat(20_000) : "the river and the stone bridge";
const messages = [{ role: "user", content: `${name}: ${words}` }];
const headers = name === "silent" ? { "x-rhumb-deadline-ms": "500" } : {};
const streamed = name === "stream" || name.startsWith("broken");
try {
  const model = name === "stream" || name === "too-long" ? "tiny" : name;
  const answer = await client.chat.completions.create({ model, messages, max_tokens: 12, stream: streamed }, { headers });
  if (streamed) {
    for await (const chunk of answer) {
      seen.text += chunk.choices[0]?.delta?.content ?? "";
      if (name === "broken-slowly-read") await new Promise((read) => setTimeout(read, 30));
    }
  } else {
    seen.text = answer.choices[0].message.content;
  }
} catch (error) {
  seen.error = error.constructor.name;
  seen.code = error.code ?? null;
}
console.log(JSON.stringify(seen));
