"""langchain-openai: `batch` with so many calls at once."""

from langchain_openai import ChatOpenAI
from task import MODEL, Clock, arguments, asked, finish, messages


def main() -> None:
    given = arguments()
    model = ChatOpenAI(model=MODEL, base_url=given.url, api_key="none", temperature=0)
    questions = asked(given.examples)
    clock = Clock()
    replies = model.batch(
        [messages(question) for question, _ in questions],
        config={"max_concurrency": given.concurrency},
    )
    right = sum(
        str(reply.content).strip() == reference
        for reply, (_, reference) in zip(replies, questions, strict=True)
    )
    finish(
        given.examples,
        right,
        clock.stop(),
        "langchain-openai",
        "langchain-core",
        "openai",
    )


if __name__ == "__main__":
    main()
