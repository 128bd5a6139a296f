"""What the provider `aws` makes of AWS's errors and troubles, as they come over the wire."""

from __future__ import annotations

import asyncio
import json
import logging
import time

import pytest

from services.contracts.errors import FailureCode, ProviderError
from services.provisioner.bounded import Bounded
from services.provisioner.nodes import Nodes
from services.provisioner.provider import Instance
from services.provisioner.providers.aws import AwsProvider
from services.provisioner.providers.aws.settings import AwsSettings
from tests.integration.aws_fixtures import CREATE, DESCRIBE, LIST, NAME, cloud, nodes, provider, spec
from tests.integration.aws_front import SILENCE, AwsFront, Reply, ec2_error, eks_error, moto, typed_error

__all__ = ["cloud", "moto", "nodes", "provider"]

OFFERINGS = "DescribeInstanceTypeOfferings"


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (eks_error("ResourceLimitExceededException", "You've reached the limit of 30 node groups"), "QuotaExceeded"),
        (eks_error("InvalidParameterException", "The following supplied instance types do not exist: [g6]"),
         "InvalidRequest"),
        (eks_error("InvalidRequestException", "Cluster is not in ACTIVE state"), "InvalidRequest"),
        (eks_error("ResourceNotFoundException", "No cluster found for name: models.", 404), "NotFound"),
        (eks_error("AccessDeniedException", "User: x is not authorized to perform: eks:CreateNodegroup", 403),
         "Unauthorized"),
        (typed_error("ExpiredTokenException", "The security token included in the request is expired", 403),
         "Unauthorized"),
        (typed_error("ExpiredToken", "The provided token has expired.", 400), "Unauthorized"),
        (typed_error("UnrecognizedClientException", "The security token included in the request is invalid.", 403),
         "Unauthorized"),
        (typed_error("InvalidSignatureException", "Signature expired: 20260101T120000Z is now earlier than", 403),
         "Unauthorized"),
        (typed_error("ThrottlingException", "Rate exceeded", 429), "Throttled"),
        (eks_error("ServerException", "An internal error has occurred", 500), "Internal"),
        (eks_error("ServiceUnavailableException", "Service is unavailable", 503), "Internal"),
        (eks_error("NeverHeardOfException", "You are holding it wrong", 400), "InvalidRequest"),
        (eks_error("NeverHeardOfException", "No", 403), "Unauthorized"),
    ],
)  # fmt: skip
async def test_a_refusal_keeps_awss_words_and_gets_our_code(
    provider: AwsProvider, cloud: AwsFront, reply: Reply, code: str
) -> None:
    cloud.always(CREATE, reply)
    with pytest.raises(ProviderError) as caught:
        await provider.create(spec())
    said = json.loads(reply.body)["message"]
    assert caught.value.code == code
    assert caught.value.message.startswith(said)
    assert await provider.list() == ()


async def test_the_pause_that_aws_asks_for_is_handed_on(provider: AwsProvider, cloud: AwsFront) -> None:
    cloud.always(LIST, eks_error("ThrottlingException", "Rate exceeded", 429, **{"Retry-After": "7"}))
    with pytest.raises(ProviderError) as caught:
        await provider.list()
    assert (caught.value.code, caught.value.retry_after) == (FailureCode.THROTTLED, 7.0)
    assert len(cloud.seen) == 2, "the SDK tries once more, and no oftener"


async def test_one_hiccup_is_not_seen(provider: AwsProvider, cloud: AwsFront) -> None:
    cloud.script(CREATE, eks_error("ServerException", "try again", 500))
    assert (await provider.create(spec())).name == NAME
    first, second = cloud.requests("POST")
    assert first.body == second.body, "the same token: EKS knows it for a repetition"


async def test_an_answer_that_is_lost_leaves_one_machine(provider: AwsProvider, cloud: AwsFront, nodes: Nodes) -> None:
    hasty = AwsProvider(AwsSettings(request_seconds=0.3), nodes)
    cloud.always(DESCRIBE, SILENCE)
    await provider.create(spec())
    with pytest.raises(ProviderError) as caught:
        await hasty.create(spec())
    assert caught.value.code is FailureCode.TIMEOUT
    cloud._always.clear()
    assert (await hasty.create(spec())).name == NAME
    assert len(await hasty.list()) == 1


async def test_a_cluster_that_is_not_there_is_named(
    cloud: AwsFront, nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAITOBUS_AWS_CLUSTER", "nowhere")
    lost = AwsProvider(AwsSettings(), nodes)
    # moto looks for the cluster when a group is made, but not when groups are listed.
    cloud.always(LIST, eks_error("ResourceNotFoundException", "No cluster found for name: nowhere.", 404))
    for call in (lost.list, lambda: lost.create(spec())):
        with pytest.raises(ProviderError, match="No cluster found for name: nowhere") as caught:
            await call()
        assert caught.value.code is FailureCode.NOT_FOUND


@pytest.mark.parametrize(
    ("where", "reply"),
    [
        (LIST, eks_error("ResourceNotFoundException", "No cluster found for name: models.", 404)),
        (LIST, eks_error("AccessDeniedException", "not authorized to perform: eks:ListNodegroups", 403)),
        (LIST, typed_error("UnrecognizedClientException", "The security token is invalid.", 403)),
        (DESCRIBE, eks_error("AccessDeniedException", "not authorized to perform: eks:DescribeNodegroup", 403)),
    ],
)
async def test_what_only_a_person_can_change_makes_it_unready_until_it_is_changed(
    provider: AwsProvider, cloud: AwsFront, where: str, reply: Reply
) -> None:
    await provider.create(spec())
    cloud.always(where, reply)
    with pytest.raises(ProviderError):
        await provider.list()
    assert json.loads(reply.body)["message"] in (await provider.problem() or "")
    cloud.heal()
    assert [machine.name for machine in await asked_anew(provider)] == [NAME]
    assert await provider.problem() is None


async def asked_anew(provider: AwsProvider) -> tuple[Instance, ...]:
    """What is listed once what was heard before is forgotten: an adoption does that."""
    await provider.create(spec())
    return await provider.list()


async def test_trouble_that_passes_leaves_it_ready(provider: AwsProvider, cloud: AwsFront) -> None:
    for reply in (eks_error("ThrottlingException", "Rate exceeded", 429), eks_error("ServerException", "no", 500)):
        cloud.always(LIST, reply)
        with pytest.raises(ProviderError):
            await provider.list()
        cloud.heal()
    assert await provider.problem() is None


async def test_its_threads_end_with_it(provider: AwsProvider, cloud: AwsFront) -> None:
    await provider.list()
    running = asyncio.create_task(provider.run())
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    with pytest.raises(RuntimeError, match="shutdown"):
        await provider.create(spec())


async def test_a_session_token_is_never_repeated(provider: AwsProvider, cloud: AwsFront) -> None:
    text = "The request signature we calculated does not match. The Canonical String for this request should have been"
    cloud.always(LIST, typed_error("InvalidSignatureException", f"{text} x-amz-security-token:SECRET", 403))
    with pytest.raises(ProviderError, match="does not match") as caught:
        await provider.list()
    assert "SECRET" not in caught.value.message


async def test_without_credentials_the_sdk_says_so(
    provider: AwsProvider, cloud: AwsFront, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(ProviderError, match="Unable to locate credentials") as caught:
        await provider.list()
    assert caught.value.code is FailureCode.UNAUTHORIZED
    assert caught.value.message == await provider.problem()


async def test_without_a_region_it_is_said_what_to_set(
    cloud: AwsFront, nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_REGION")
    lost = AwsProvider(AwsSettings(), nodes)
    with pytest.raises(ProviderError, match="Set AWS_REGION") as caught:
        await lost.list()
    assert caught.value.code is FailureCode.INVALID_REQUEST
    assert caught.value.message == await lost.problem()


async def test_an_answer_that_is_none_of_awss_is_an_internal_error(provider: AwsProvider, cloud: AwsFront) -> None:
    cloud.always(LIST, Reply(200, "<html>the proxy's login page</html>"))
    with pytest.raises(ProviderError) as caught:
        await provider.list()
    assert caught.value.code is FailureCode.INTERNAL


async def test_a_silent_cloud_ends_in_a_time_out_and_blocks_nothing(cloud: AwsFront, nodes: Nodes) -> None:
    silent = AwsProvider(AwsSettings(request_seconds=0.4), nodes)
    assert await silent.list() == (), "the SDK has read its tables"
    cloud.always("", SILENCE)
    call = asyncio.create_task(silent.list())
    longest, last = 0.0, time.monotonic()
    while not call.done():
        await asyncio.wait({call}, timeout=0.01)
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    with pytest.raises(ProviderError, match="timeout") as caught:
        call.result()
    assert caught.value.code is FailureCode.TIMEOUT
    assert longest < 0.3


async def test_the_loops_own_time_limit_holds_too(cloud: AwsFront, nodes: Nodes) -> None:
    cloud.always("", SILENCE)
    silent = AwsProvider(AwsSettings(request_seconds=1), nodes)
    bounded = Bounded(silent, at_once=8, changes_per_second=50, seconds=0.2)
    with pytest.raises(ProviderError, match=r"aws did not answer to list within 0\.2 s"):
        await bounded.list()


# -- offers


async def test_without_permission_the_whole_table_is_offered_and_that_is_said_once(
    provider: AwsProvider, cloud: AwsFront, caplog: pytest.LogCaptureFixture
) -> None:
    cloud.always(
        OFFERINGS, ec2_error("UnauthorizedOperation", "You are not authorized to perform this operation.", 403)
    )
    with caplog.at_level(logging.WARNING):
        offers = [await provider.offers() for _ in range(3)][-1]
    assert "p5en.48xlarge" in {offer.instance_type for offer in offers}
    (record,) = [r for r in caplog.records if "EC2 does not tell" in r.getMessage()]
    assert "You are not authorized" in record.getMessage()


async def test_pages_of_offerings_are_followed(provider: AwsProvider, cloud: AwsFront) -> None:
    def page(size: str, token: str) -> Reply:
        item = f"<item><instanceType>{size}</instanceType><locationType>region</locationType></item>"
        sets = f"<instanceTypeOfferingSet>{item}</instanceTypeOfferingSet><nextToken>{token}</nextToken>"
        return Reply(body=f"<DescribeInstanceTypeOfferingsResponse>{sets}</DescribeInstanceTypeOfferingsResponse>")

    cloud.script(OFFERINGS, page("g6.xlarge", "more"), page("p5.48xlarge", ""))
    assert {offer.instance_type for offer in await provider.offers()} == {"g6.xlarge", "p5.48xlarge"}
    assert "NextToken=more" in cloud.requests("POST")[1].body
